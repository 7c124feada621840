// SPDX-License-Identifier: BSD-3-Clause
// Sends our SYN to the server and decides what it asks for.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// The client's raw `window`, as the server has to see it.
[[nodiscard]] std::uint16_t opening_window(const FlowRecord& f, std::uint16_t window,
                                           bool scaled_for_server);

// The options that are left to `auto` and so have to be learned.
[[nodiscard]] Abilities wanted(const OfferConfig& offer);
// Whether the next SYN to the packet's server should ask for wanted().
[[nodiscard]] bool probe_due(const Rooms& rooms, const Context& c);

// `ask_more`: also offers what `auto` leaves to be learned.
void send_syn(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink);
// Whether the server is to get no sample of the round trip from its handshake with us.
[[nodiscard]] bool hides_rtt(const Rooms& rooms, FlowIndex i);
// Sends our SYN for the first time; if hides_rtt() twice, back to back. A server that has sent its
// SYN-ACK twice cannot tell which one our ACK answers, and takes no sample of the round trip
// (Karn's algorithm, RFC 6298 section 3). That sample would be the round trip between proxy and
// server.
void ask_server(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink);
// Answers the packet with a RST for the connection that the server believes in, then asks again: at
// once the first time, later only by the timer. Late segments may look the same, and a server that
// ignores our RST would be asked at the speed of the wire.
void ask_again(Rooms& rooms, Context& c, FlowRecord& f, FrameSink& sink);

}  // namespace synproxy
