// SPDX-License-Identifier: BSD-3-Clause
// The two ways in which a flow ends: its record is freed, or kept as a tombstone.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Frees the record. If its cookie could still be replayed, the replay filter remembers it.
void free_flow(Rooms& rooms, FlowIndex i);

// Ends a handshake that failed: frees held data, sends a RST to each side that is to be told, and
// leaves a tombstone. A server that was never asked is not told.
void give_up(Rooms& rooms, FlowIndex i, bool tell_client, bool tell_server, FrameSink& sink);

}  // namespace synproxy
