// SPDX-License-Identifier: BSD-3-Clause
// Makes room for one more flow when the table is full.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Takes a free record for the packet's key, which has none yet. If the table is full, a flow that
// is over, closing or embryonic is evicted. kNoFlow: no flow that was looked at may go.
[[nodiscard]] FlowIndex take_record(Rooms& rooms, const Context& c, FrameSink& sink);

}  // namespace synproxy
