// SPDX-License-Identifier: BSD-3-Clause
// Room for one more flow, when the table is full.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// A free record for the packet's key, which has none. A finished or an embryonic flow is evicted
// where all are in use; kNoFlow: there is none that may go.
[[nodiscard]] FlowIndex take_record(Rooms& rooms, const Context& c, FrameSink& sink);

}  // namespace synproxy
