// SPDX-License-Identifier: BSD-3-Clause
// The first act of an engine that goes on with the connections of a former process: from its arena,
// or piece by piece from an engine that has stopped for it.
#pragma once

#include <span>

#include "burst/rooms.h"
#include "synproxy/flow/arena.h"
#include "synproxy/proxy/carried.h"

namespace synproxy {

// Takes over the connections that are found, and drops records that no running engine can have
// written. Handshakes ask their server again, at once. What the dead process alone knew is gone:
// early data, which was never acknowledged and comes again; repeats of the handshake's ACK, for
// which the server repeats its SYN-ACK; SYN-ACKs that waited for their ACK.
Found resume(Rooms& rooms);

// The same from engine to engine, while the giver may be at work on another thread.
[[nodiscard]] std::size_t find_changed_flows(const Rooms& rooms, const CarryBook& book,
                                             FlowIndex from, FlowIndex to,
                                             std::span<FlowIndex> out);
[[nodiscard]] CarriedFlow carry_flow(const Rooms& rooms, CarryBook& book, FlowIndex i);
[[nodiscard]] FlowIndex adopt(Rooms& rooms, const CarriedFlow& carried);

}  // namespace synproxy
