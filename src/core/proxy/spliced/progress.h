// SPDX-License-Identifier: BSD-3-Clause
// Follows a spliced connection by the segments that pass: numbers, FINs, resets.
#pragma once

#include "burst/rooms.h"
#include "synproxy/proxy/spliced_numbers.h"

namespace synproxy {

// Upper bound of the windows that a side has shown, as a power of two: 2^15 to 2^30.
[[nodiscard]] inline std::uint32_t client_window_bound(const FlowRecord& f) {
  return 1U << (15 + (f.windows & 15U));
}
[[nodiscard]] inline std::uint32_t server_window_bound(const FlowRecord& f) {
  return 1U << (15 + (f.windows >> 4));
}
inline void widen_windows(FlowRecord& f, std::uint32_t client_window, std::uint32_t server_window) {
  while (client_window > client_window_bound(f) && (f.windows & 15U) < 15U) {
    f.windows = static_cast<std::uint8_t>(f.windows + 1);
  }
  while (server_window > server_window_bound(f) && (f.windows >> 4) < 15U) {
    f.windows = static_cast<std::uint8_t>(f.windows + 16);
  }
}

// Both FINs seen, or reset. The next connection with these addresses may be on its way.
[[nodiscard]] inline bool is_over(const FlowRecord& f) {
  return f.state() == FlowState::kClosing || f.state() == FlowState::kFinished;
}

// Both FINs seen, acknowledged or not.
[[nodiscard]] inline bool closed_by_both(const FlowRecord& f) {
  constexpr std::uint16_t kFins = kFlowClientFin | kFlowServerFin;
  return (f.progress & kFins) == kFins;
}

// Whether the numbers of a segment of that side fit. `seq` is in the client's numbers.
template <Role kFrom>
[[nodiscard]] inline bool fits(const FlowRecord& f, const Segment& g, SeqNum seq) {
  constexpr bool kClient = kFrom == Role::kClient;
  const std::uint32_t takes = kClient ? server_window_bound(f) : client_window_bound(f);
  const std::uint32_t gives = kClient ? client_window_bound(f) : server_window_bound(f);
  const std::uint32_t own = kClient ? f.client_nxt : f.server_nxt;
  const std::uint32_t peer = kClient ? f.server_nxt : f.client_nxt;
  return seq_fits(seq.value(), own, takes) &&
         (!g.has(kAck) || ack_fits(g.ack.value(), peer, gives));
}

// What a segment that passes counts as.
[[nodiscard]] inline Reason fate_of(const FlowRecord& f) {
  if (f.translated()) [[likely]]
    return Reason::translated;
  return f.watched() ? Reason::watched : Reason::passed;
}

// Notes a fitting segment of one side that is no RST. `seq` is in the client's numbers.
//
// An attacker who knows a connection's addresses can send what fits: of 2^32 numbers a window's
// worth does. So a segment that fits proves nothing about its own numbers, and `next` moves as
// spliced_numbers.h says. A FIN counts when its number is reached, and data behind it shows that it
// was forged.
template <Role kFrom>
void note(Rooms& rooms, FlowRecord& f, const Context& c, SeqNum seq);
extern template void note<Role::kClient>(Rooms&, FlowRecord&, const Context&, SeqNum);
extern template void note<Role::kServer>(Rooms&, FlowRecord&, const Context&, SeqNum);

// A segment of a live connection renews it.
inline void renew(Rooms& rooms, FlowRecord& f) {
  f.last_seen = rooms.now.ms32();
  f.set(kFlowSpoke);
  f.clear(kFlowProbed | kFlowProbedAgain | kFlowRepeated);
}
// That segment brings nothing but what was seen before.
inline void note_repeat(Rooms& rooms, FlowRecord& f, FlowIndex i, Role sender) {
  f.set(kFlowRepeated);
  if (sender == Role::kServer) rooms.crawl_watch.lost(i);
}

// Leads the flow's made frames the way of its latest fitting segment: after a fail-over the frames
// of an end come from another MAC address. Nearly always nothing has changed.
void move_link(Rooms& rooms, const Context& c, FlowRecord& f);
inline void follow_way(Rooms& rooms, const Context& c, FlowRecord& f) {
  if (rooms.frames.has_moved(f, c.sender, c.segment.frame)) [[unlikely]]
    move_link(rooms, c, f);
}

// Handles a RST of either side. `seq` is in the client's numbers.
//
// RFC 5961 section 3.2: it ends the connection where it hits the number that its receiver waits
// for. That is what was seen, or what the receiver acknowledged last: a host that has forgotten the
// connection takes its RST's number from there (RFC 9293 section 3.10.7.1). Elsewhere in the window
// the receiver asks back. If it looks like the RST of such a host, which has no ACK, the proxy asks
// too, once a second at most: the answer of a host that is gone has a number that both know.
void on_reset(Rooms& rooms, Context& c, FlowRecord& f, SeqNum seq);

// Translates and forwards the packet. A packet with a CE mark is dropped if the server does not do
// ECN.
void pass_to_server(Rooms& rooms, Context& c, FlowRecord& f);
// The same for a flow that TooLong has noted: cuts what is too long.
void pass_long_to_server(Rooms& rooms, Context& c, FlowRecord& f, FrameSink& sink);
void pass_to_client(Rooms& rooms, Context& c, FlowRecord& f);

}  // namespace synproxy
