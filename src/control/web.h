// SPDX-License-Identifier: BSD-3-Clause
// What is to be read at the address of --metrics.
#pragma once

#include "base/config.h"
#include "control/clock.h"
#include "control/http_server.h"
#include "control/recorder.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// The live page and its data.json, and /metrics. The arguments outlive the pages.
[[nodiscard]] HttpServer::Pages web_pages(const dataplane::Dataplane& dataplane,
                                          const Config& config, const Recorder& recorder,
                                          const ProgramClock& clock);

}  // namespace synproxy::control
