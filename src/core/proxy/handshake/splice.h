// SPDX-License-Identifier: BSD-3-Clause
// The splice: the server has answered our SYN, and two handshakes become one connection.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// RFC 3168 section 6.1.1: an ECN-setup SYN-ACK has ECE without CWR.
[[nodiscard]] inline bool is_ecn_setup(const Segment& syn_ack) {
  return (syn_ack.flags & (kEce | kCwr)) == kEce;
}

// `c` is the SYN-ACK that answers our SYN, `o` its options; `auto_mss`: the largest MSS that the
// client may have been promised if that was left to `auto`.
void splice(Rooms& rooms, Context& c, FlowRecord& f, const TcpOptions& o, std::uint16_t auto_mss,
            FrameSink& sink);

// Our ACK of the server's SYN-ACK, the first one and every repeat. `tsecr`: the TSval of that
// SYN-ACK. Only for a spliced flow on which the server has sent nothing else yet.
[[nodiscard]] TcpReply handshake_ack(const Rooms& rooms, FlowIndex i, std::uint32_t tsecr);
// Turns the SYN-ACK `c` into that ACK. `tsval`: the SYN-ACK's.
void answer_syn_ack(Rooms& rooms, Context& c, const FlowRecord& f, std::uint32_t tsval);
void send_ack(Rooms& rooms, FlowIndex i, std::uint32_t tsecr, FrameSink& sink);

}  // namespace synproxy
