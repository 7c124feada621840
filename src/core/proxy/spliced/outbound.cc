// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/outbound.h"

#include "flows/end_flow.h"
#include "spliced/progress.h"
#include "time/eviction.h"

namespace synproxy {
namespace {

std::uint16_t learn_link(Rooms& rooms, const Context& c) {
  const LinkHeader link = link_of(c);
  return rooms.frames.intern({link.bytes.data(), link.length});
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
  rooms.answerer.services().learn_host(c.key(), rooms.now.ms(),
                                       parse_tcp_options(g.options(), g.options_size()),
                                       (g.flags & (kEce | kCwr)) == (kEce | kCwr));
  FlowRecord& f = rooms.flows[i];
  f.options = kFlowOutbound;
  f.cookie = c.segment.seq.value();
  f.set_link(learn_link(rooms, c), 0);
  f.server_nxt = c.segment.seq_end().value();
  f.windows = 0xff;  // the scales are unknown: the widest windows
  f.last_seen = rooms.now.ms32();
  rooms.flows.become_spliced(f, FlowState::kPassed, {});
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
    rooms.flows.set_state(f, FlowState::kEstablished);
  }
  forward(rooms.counters, c, Reason::passed);
}

}  // namespace synproxy
