// SPDX-License-Identifier: BSD-3-Clause
#include "control/web.h"

#include "control/metrics.h"
#include "control/view.h"

namespace synproxy::control {

HttpServer::Pages web_pages(const dataplane::Dataplane& dataplane, const Config& config,
                            const ProgramClock& clock) {
  HttpServer::Pages pages;
  pages["/metrics"] = [&] {
    const View view = view_of(dataplane, config, clock.unix_ms_at_start());
    return Page{.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_text(view)};
  };
  return pages;
}

}  // namespace synproxy::control
