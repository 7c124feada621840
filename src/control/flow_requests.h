// SPDX-License-Identifier: BSD-3-Clause
// The requests behind `synproxy flows`.
#pragma once

#include "base/config.h"
#include "control/requests.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// flows: {"format", "size", "protect": [RULE...]}, and behind that line, for each part of the
// tables, {"worker", "count"} and as many FlowInfo as they lie in memory; {"end"} is last. Workers
// go on meanwhile, so it is no picture of one moment.
// services: the same with ServiceInfo, and without "protect".
// delete-flows: with "flows" [{"worker", "index", "client", "sport", "server", "dport",
// "vlan"}...],
// {"deleted"}: how many were still there. Both references outlive `requests`.
void add_flow_requests(Requests& requests, dataplane::Dataplane& dataplane, const Config& config);

}  // namespace synproxy::control
