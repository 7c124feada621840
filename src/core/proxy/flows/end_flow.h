// SPDX-License-Identifier: BSD-3-Clause
// The two ends of a record: given back, or kept as a tombstone.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Gives the record back; while its cookie could still be replayed, the filter remembers it.
void free_flow(Rooms& rooms, FlowIndex i);

// A handshake that comes to nothing: held data freed, RST to those who are to be told, tombstone.
void give_up(Rooms& rooms, FlowIndex i, bool tell_client, bool tell_server, FrameSink& sink);

}  // namespace synproxy
