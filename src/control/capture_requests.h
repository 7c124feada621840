// SPDX-License-Identifier: BSD-3-Clause
// The request behind `synproxy capture` (capture_wire.h).
#pragma once

#include "base/config.h"
#include "control/requests.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// It shows what others send, so it is for those who may change things. One capture runs at a time.
// `dataplane` outlives `requests`.
void add_capture_request(Requests& requests, dataplane::Dataplane& dataplane, const Config& config);

}  // namespace synproxy::control
