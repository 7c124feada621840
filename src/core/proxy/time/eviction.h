// SPDX-License-Identifier: BSD-3-Clause
// Makes room for one more flow when the table is full.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Takes a free record for the packet's key, which has none yet. If the table is full, the flow that
// FlowBook::pick_victim() chooses is evicted. If the packet is a server's SYN and too many of those
// are unanswered, one of them is. kNoFlow: no flow may go.
[[nodiscard]] FlowIndex take_record(Rooms& rooms, const Context& c, FrameSink& sink);

}  // namespace synproxy
