// SPDX-License-Identifier: BSD-3-Clause
// What a client sends before the server has answered, or after it has refused.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// A segment on a flow in kSynSent; no SYN.
void on_client_waits(Rooms& rooms, Context& c, FrameSink& sink);

// The server refused, or we gave up: nothing more comes from this handshake, but a new one may
// come.
void on_client_tombstone(Rooms& rooms, Context& c, FrameSink& sink);

// Data of a flow in kSynSent is kept, or dropped for the client to send again.
void hold_early(Rooms& rooms, Context& c, FlowRecord& f);

}  // namespace synproxy
