// SPDX-License-Identifier: BSD-3-Clause
// What an operator does with flows: looks at them, and ends them.
#pragma once

#include <span>

#include "burst/rooms.h"
#include "synproxy/proxy/flow_info.h"
#include "synproxy/proxy/services.h"

namespace synproxy {

// Copies the flows of the records from `from` on, until `out` is full or `looks` records have been
// seen.
[[nodiscard]] FlowSlice copy_flows(const FlowBook& flows, std::uint64_t now_ms, FlowIndex from,
                                   std::uint32_t looks, std::span<FlowInfo> out);

// The same for what was learned of servers.
[[nodiscard]] FlowSlice copy_services(const ServiceTable& services, FlowIndex from,
                                      std::uint32_t looks, std::span<ServiceInfo> out);

// Ends the flow: RST to both ends if they may be alive. False: the record belongs to another flow
// by now, or to none.
[[nodiscard]] bool delete_flow(Rooms& rooms, FlowIndex i, const FlowKey& key, FrameSink& sink);

}  // namespace synproxy
