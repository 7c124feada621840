// SPDX-License-Identifier: BSD-3-Clause
#include "control/web.h"

#include "control/history.h"
#include "control/live_page.h"
#include "control/metrics.h"
#include "control/view.h"

namespace synproxy::control {
namespace {

constexpr std::size_t kPageSeconds = 600;

// Names of devices may hold any bytes; JSON holds only UTF-8.
std::string json_text(const nlohmann::ordered_json& document) {
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

HttpServer::Pages web_pages(const dataplane::Dataplane& dataplane, const Config& config,
                            const Recorder& recorder, const ProgramClock& clock) {
  HttpServer::Pages pages;
  pages["/"] = [page = live_page()] { return page; };
  pages["/data.json"] = [&] {
    const View view = view_of(dataplane, config, clock.unix_ms_at_start());
    return Page{.type = "application/json",
                .body = json_text(history_document(recorder, view, kPageSeconds))};
  };
  const auto metrics = [&] {
    View view = view_of(dataplane, config, clock.unix_ms_at_start());
    view.felt_lately = recorder.felt().now(view.felt_source());
    return metrics_text(view);
  };
  pages["/metrics"] = [metrics] {
    return Page{.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics()};
  };
  pages["/metrics application/openmetrics-text"] = [metrics] {
    return Page{.type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
                .body = open_metrics(metrics())};
  };
  return pages;
}

}  // namespace synproxy::control
