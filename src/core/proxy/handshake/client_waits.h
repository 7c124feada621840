// SPDX-License-Identifier: BSD-3-Clause
// Handles what a client sends before the server has answered, or after it has refused.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Handles a segment on a flow in kSynSent that is no SYN.
void on_client_waits(Rooms& rooms, Context& c, FrameSink& sink);

// Handles a segment on a tombstone: the server refused, or we gave up. This handshake is over, but
// a new one may come.
void on_client_tombstone(Rooms& rooms, Context& c, FrameSink& sink);

// Keeps data of a flow in kSynSent, or drops it, so that the client sends it again.
void hold_early(Rooms& rooms, Context& c);

}  // namespace synproxy
