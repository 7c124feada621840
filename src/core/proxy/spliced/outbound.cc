// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/outbound.h"

#include <array>
#include <cstring>

#include "flows/end_flow.h"
#include "spliced/progress.h"
#include "time/eviction.h"

namespace synproxy {
namespace {

// The link table keeps headers as a client's frame has them.
std::uint16_t learn_link(Rooms& rooms, const Context& c) {
  std::array<std::uint8_t, kMaxL2Header> header;
  const std::size_t length = c.segment.l3_offset;
  std::memcpy(header.data(), c.segment.frame, length);
  std::memcpy(header.data(), c.segment.frame + ether_at::kSource, kMacAddress);
  std::memcpy(header.data() + ether_at::kSource, c.segment.frame, kMacAddress);
  return rooms.frames.intern({header.data(), length}, c.segment.vlan);
}

// What the SYN showed is learned when the peer answers it: a SYN alone may have a forged source.
// Until then it waits in SplicedPart::ts_delta.
constexpr unsigned kShowsScale = 16;  // the MSS stands below, 4 bits of scale from here on
constexpr std::uint32_t kShowsTimestamps = 1U << 20;
constexpr std::uint32_t kShowsSack = 1U << 21;
constexpr std::uint32_t kShowsEcn = 1U << 22;

std::uint32_t shown_by(const Segment& syn) {
  const TcpOptions o = parse_tcp_options(syn.options(), syn.options_size());
  const bool ecn = (syn.flags & (kEce | kCwr)) == (kEce | kCwr);
  return o.mss | std::uint32_t{o.window_scale} << kShowsScale |
         (o.timestamps ? kShowsTimestamps : 0) | (o.sack_permitted ? kShowsSack : 0) |
         (ecn ? kShowsEcn : 0);
}

void learn_host(Rooms& rooms, const Context& c, std::uint32_t shown) {
  TcpOptions o;
  o.mss = static_cast<std::uint16_t>(shown);
  o.window_scale = shown >> kShowsScale & 15U;
  o.timestamps = (shown & kShowsTimestamps) != 0;
  o.sack_permitted = (shown & kShowsSack) != 0;
  rooms.answerer.services().learn_host(c.key(), rooms.now.epoch(), rooms.now.ms(), o,
                                       (shown & kShowsEcn) != 0);
}

}  // namespace

void on_server_syn(Rooms& rooms, Context& c, FrameSink& sink) {
  // A damaged frame may be a SYN-ACK that has lost its ACK flag.
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  if (c.flow != kNoFlow) {
    const FlowRecord& old = rooms.flows[c.flow];
    const bool own = (old.options & kFlowOutbound) != 0;
    if (own && !is_over(old) && old.cookie == c.segment.seq.value()) {
      rooms.flows[c.flow].last_seen = rooms.now.ms32();
      return forward(rooms.counters, c, Reason::passed);
    }
    // Otherwise the server has forgotten its old connection. It may not take over a client's live
    // connection.
    if (!own && !is_over(old) && old.state() != FlowState::kTombstone) {
      return drop(rooms.counters, c, Reason::no_flow_server);
    }
    free_flow(rooms, c.flow);
  }
  const FlowIndex i = take_record(rooms, c, sink);
  if (i == kNoFlow) return drop(rooms.counters, c, Reason::table_full);
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[i];
  f.options = kFlowOutbound;
  f.cookie = c.segment.seq.value();
  f.set_link(learn_link(rooms, c), 0);
  f.server_nxt = c.segment.seq_end().value();
  f.windows = 0xff;  // the scales are unknown: the widest windows
  f.last_seen = rooms.now.ms32();
  rooms.flows.become_spliced(f, FlowState::kPassed,
                             {.delta = 0, .ts_delta = shown_by(g), .window = 0, .mark_second = 0});
  rooms.counters.count(Reason::conn_passed);
  forward(rooms.counters, c, Reason::passed);
}

void on_answer_to_outbound(Rooms& rooms, Context& c) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  f.last_seen = rooms.now.ms32();
  // The peer answers the server's SYN, with all of its data or a part. From here on the flow is
  // followed like any other.
  if ((g.flags & (kSyn | kAck)) == (kSyn | kAck) &&
      g.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt))) {
    f.client_isn = g.seq.value();
    f.client_nxt = g.seq_end().value();
    learn_host(rooms, c, f.spliced().ts_delta);
    f.spliced().ts_delta = 0;
    rooms.flows.set_state(f, FlowState::kEstablished);
  }
  forward(rooms.counters, c, Reason::passed);
}

}  // namespace synproxy
