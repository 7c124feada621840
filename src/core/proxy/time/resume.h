// SPDX-License-Identifier: BSD-3-Clause
// The first act of an engine whose arena may hold what a former process has left.
#pragma once

#include "burst/rooms.h"
#include "synproxy/flow/arena.h"

namespace synproxy {

// Takes over the connections that are found, and drops records that no running engine can have
// written. Handshakes ask their server again, at once. What the dead process alone knew is gone:
// early data, which was never acknowledged and comes again; repeats of the handshake's ACK, for
// which the server repeats its SYN-ACK; SYN-ACKs that waited for their ACK.
Found resume(Rooms& rooms);

}  // namespace synproxy
