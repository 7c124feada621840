// SPDX-License-Identifier: BSD-3-Clause
// Follows a spliced connection by the segments that pass: numbers, FINs, resets.
#pragma once

#include "burst/rooms.h"

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

// Sequence number in the server's window, and SND.UNA - MAX.WND <= ack <= SND.NXT (RFC 5961
// section 5.2).
[[nodiscard]] inline bool client_fits(const FlowRecord& f, const Segment& g) {
  const std::uint32_t bound = server_window_bound(f);
  const SeqNum next(f.client_nxt);
  const SeqNum sent(f.server_nxt);
  return g.seq.within(next - bound, next + bound) &&
         g.ack.within(sent - 2 * client_window_bound(f), sent);
}

// The same for the server: a stray segment of an older connection must not move the numbers. `seq`
// is in the client's numbers.
[[nodiscard]] inline bool server_fits(const FlowRecord& f, const Segment& g, SeqNum seq) {
  const std::uint32_t bound = client_window_bound(f);
  const std::uint32_t sent = server_window_bound(f);
  const SeqNum next(f.server_nxt);
  const SeqNum acked(f.client_nxt);
  return seq.within(next - bound, next + bound) &&
         (!g.has(kAck) || g.ack.within(acked - 2 * sent, acked + sent));
}

// Notes a fitting segment of one side that is no RST. `seq` is in the client's numbers.
void note_client(Rooms& rooms, FlowRecord& f, const Context& c);
void note_server(Rooms& rooms, FlowRecord& f, const Context& c, SeqNum seq);
// Notes a RST at the exact number.
void note_reset(Rooms& rooms, FlowRecord& f);

// Translates and forwards the packet. A packet with a CE mark is dropped if the server does not do
// ECN.
void pass_to_server(Rooms& rooms, Context& c, FlowRecord& f);
void pass_to_client(Rooms& rooms, Context& c, FlowRecord& f);

}  // namespace synproxy
