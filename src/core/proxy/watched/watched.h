// SPDX-License-Identifier: BSD-3-Clause
// Connections that need no cookie: their SYNs pass, and they are only watched (--mode adaptive and
// off). Nothing of them is changed, so they have every TCP option.
//
// A record is made at the server's SYN-ACK, never at a SYN. It is half-open (kPassed) until the
// client's ACK carries the server's own number, which proves the address as a cookie does. From
// then on the flow is followed like one that the server has opened (outbound.h): numbers, FINs and
// RSTs by spliced/progress, time by time/ageing.
//
// When cookies begin, nothing changes for these connections, half-open or not. A SYN that passed
// before may be answered by the server later: its record is made then. When cookies end, those that
// are under way are good until they expire.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// The half-open connections of a server that has given up are forgotten after this long: Linux
// repeats its SYN-ACK for the last time after 31 s and gives up after 63 s.
inline constexpr std::uint32_t kHalfOpenMs = 33'000;

// For a client's SYN, while rooms.watch.on(). True: it passes to the server. False: it is to be
// answered with a cookie.
[[nodiscard]] bool passes_syn(Rooms& rooms, Context& c);

// For a SYN-ACK of a server. True: it belongs to a watched connection, and was decided.
[[nodiscard]] bool on_watched_syn_ack(Rooms& rooms, Context& c, FrameSink& sink);
// For any other segment of a server without a flow. True: it answers a SYN that has passed, and was
// forwarded.
[[nodiscard]] bool answers_passed_syn(Rooms& rooms, Context& c);

// Handle a segment on a half-open flow that is watched: one of the client that is no SYN, and one
// of the server.
void on_client_half_open(Rooms& rooms, Context& c, FrameSink& sink);
void on_server_half_open(Rooms& rooms, Context& c, FrameSink& sink);

// After something was counted: puts cookies in force if they have begun for the packet's service.
void settle_activation(Rooms& rooms, const Context& c);
// Whether what happens to the packet's service is to be counted, because its mode is adaptive.
[[nodiscard]] inline bool is_adaptive(const Rooms& rooms, const Context& c) {
  return rooms.watch.activation.adaptive() &&
         (!rooms.services.modes_differ() || rooms.services.mode_of(c.key()) == Mode::kAdaptive);
}
// Counts a SYN. Only while is_adaptive().
inline void count_syn(Rooms& rooms, const Context& c) {
  rooms.watch.activation.syn(c.service, rooms.now.ms(),
                             [&] { return rooms.services.number_of(c.key()); });
  settle_activation(rooms, c);
}
// Time passes.
void tick_watch(Rooms& rooms);

}  // namespace synproxy
