// SPDX-License-Identifier: BSD-3-Clause
// The acts around --server-backlog: who waits for a turn to ask the server (flows/turns.h), and who
// goes on.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// For a flow that is about to ask its server. True: it has to wait. `above`: it never has to.
[[nodiscard]] bool waits_for_turn(Rooms& rooms, FlowIndex i, const Context& c, bool above);

// Lets those ask whose turn it is. `tick`: as time passes; otherwise after a burst.
void take_turns(Rooms& rooms, bool tick, FrameSink& sink);

// The end of a flow in handshake for which --server-timeout is over.
void give_up_waiting(Rooms& rooms, FlowIndex i, FrameSink& sink);

// Our SYN has been silent for as long as the repeat `level` says (handshakes.h). False: the flow
// has given its place up, and no repeat is sent.
[[nodiscard]] bool keeps_asking(Rooms& rooms, FlowIndex i, std::size_t level);
// Whether the silence shows a service that may be dead: it has answered nobody else either.
[[nodiscard]] bool may_be_dead(const Rooms& rooms, FlowIndex i);

}  // namespace synproxy
