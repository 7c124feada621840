// SPDX-License-Identifier: BSD-3-Clause
#include "control/history_requests.h"

#include "base/errors.h"
#include "control/analysis.h"
#include "control/history.h"
#include "control/view.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

std::size_t seconds_of(const Json& request) {
  const auto found = request.find("seconds");
  if (found == request.end() || !found->is_number_unsigned() || *found == 0) {
    throw UsageError("the request has no number of 'seconds'");
  }
  return found->get<std::size_t>();
}

}  // namespace

void add_history_requests(Requests& requests, const dataplane::Dataplane& dataplane,
                          const Config& config, const Recorder& recorder,
                          const ProgramClock& clock) {
  using Document = Json (*)(const Recorder&, const View&, std::size_t);
  const auto add = [&](const char* name, Document document) {
    requests.add(name, Requests::Kind::kReading, [&, document](const Json& request, const Peer&) {
      const View view = view_of(dataplane, config, clock.unix_ms_at_start());
      return document(recorder, view, seconds_of(request));
    });
  };
  add("history", history_document);
  add("report", analysis_document);
}

}  // namespace synproxy::control
