// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy top` and `synproxy report` ask of the running proxy: "history" and "report", each
// with the number of "seconds" to look back.
#pragma once

#include "base/config.h"
#include "control/clock.h"
#include "control/recorder.h"
#include "control/requests.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// The other arguments outlive `requests`.
void add_history_requests(Requests& requests, const dataplane::Dataplane& dataplane,
                          const Config& config, const Recorder& recorder,
                          const ProgramClock& clock);

}  // namespace synproxy::control
