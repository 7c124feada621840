// SPDX-License-Identifier: BSD-3-Clause
// Our SYN to the server, and what it asks for.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// The client's raw `window` as the server has to see it.
[[nodiscard]] std::uint16_t opening_window(const FlowRecord& f, std::uint16_t window,
                                           bool scaled_for_server);

// What is left to `auto`, and so has to be learned.
[[nodiscard]] Abilities wanted(const OfferConfig& offer);
// Whether the next SYN to the packet's server should ask for all that.
[[nodiscard]] bool probe_due(const Rooms& rooms, const Context& c);

// `ask_more`: also offers what `auto` leaves to be learned.
void send_syn(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink);
// Our SYN for the first time. With `hide_rtt` twice, back to back: a server that has sent its
// SYN-ACK again cannot say which one our ACK answers, and takes no sample (Karn's algorithm, RFC
// 6298 section 3). The first one would be the round trip between proxy and server.
void ask_server(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink);
// Resets the connection that the server believes in, in answer to the packet at hand, and asks
// again: at once the first time and by the timer then. Late segments may look the same, and a
// server that ignores our RST would be asked at the speed of the wire.
void ask_again(Rooms& rooms, Context& c, FlowRecord& f, FrameSink& sink);

}  // namespace synproxy
