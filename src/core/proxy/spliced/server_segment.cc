// SPDX-License-Identifier: BSD-3-Clause
// Segments from a protected server port.
#include <array>
#include <cstring>

#include "burst/engine_state.h"
#include "spliced/progress.h"

namespace synproxy {
namespace {

// The link table keeps headers as a client's frame has them.
std::uint16_t learn_link(EngineState& s, const Context& c) {
  std::array<std::uint8_t, kMaxL2Header> header;
  const std::size_t length = c.segment.l3_offset;
  std::memcpy(header.data(), c.segment.frame, length);
  std::memcpy(header.data(), c.segment.frame + ether_at::kSource, kMacAddress);
  std::memcpy(header.data() + 6, c.segment.frame, 6);
  return s.links.intern({header.data(), length});
}

// The server opens a connection of its own: remembered, so that the answers pass too.
void on_server_syn(EngineState& s, Context& c, FrameSink& sink) {
  // It may be a SYN-ACK that has lost its ACK.
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  if (c.flow != kNoFlow) {
    const FlowRecord& old = s.table[c.flow];
    const bool own = (old.options & kFlowOutbound) != 0;
    if (own && !is_over(old) && old.client_isn == c.segment.seq.value()) {
      s.table[c.flow].last_seen = s.now32();
      return forward(s, c, Reason::passed);
    }
    // Otherwise the server has forgotten its old connection. A client's it may not take over.
    if (!own && !is_over(old) && old.state != FlowState::kTombstone) {
      return drop(s, c, Reason::no_flow_server);
    }
    free_flow(s, c.flow);
  }
  const FlowIndex i = make_room(s, sink) ? insert_flow(s, c) : kNoFlow;
  if (i == kNoFlow) return drop(s, c, Reason::table_full);
  const Segment& g = c.segment;
  s.services.learn_host(c.key(), s.now_ms, parse_tcp_options(g.options(), g.options_size()),
                        (g.flags & (kEce | kCwr)) == (kEce | kCwr));
  FlowRecord& f = s.table[i];
  f.options = kFlowOutbound;
  f.client_isn = c.segment.seq.value();  // of the one that opened it: the server
  f.link = learn_link(s, c);
  f.server_nxt = c.segment.seq_end().value();
  f.windows = 0xff;  // scales are not ours to know: the widest
  f.last_seen = s.now32();
  set_state(s, f, FlowState::kPassed);
  s.counters.count(Reason::conn_passed);
  forward(s, c, Reason::passed);
}

// Nobody waits for it any more: a RST keeps the server from holding a half-open connection.
void on_stale(EngineState& s, Context& c) {
  answer_with_rst(s, c, Role::kServer, Reason::synack_stale);
}

void on_rst(EngineState& s, Context& c, FlowRecord& f, SeqNum seq) {
  const std::uint32_t bound = client_window_bound(f);
  const SeqNum next(f.server_nxt);
  if (!seq.within(next - bound, next + bound)) return drop(s, c, Reason::rst_out_of_window);
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  // A RST without ACK answers a segment whose ack it takes as its number: the server knows nothing
  // of this connection any more, however much of its data was still under way.
  const bool exact = seq == next || (!c.segment.has(kAck) && !seq.after(next));
  if (exact) note_reset(s, f);
  pass_to_client(s, c, f);
}

void on_spliced(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  FlowRecord& f = s.table[c.flow];
  if (g.has(kSyn)) {
    // Our ACK was lost.
    if (g.seq != SeqNum(f.cookie + f.delta) || g.ack != SeqNum(f.client_isn + 1)) {
      return drop(s, c, Reason::no_flow_server);
    }
    // A late copy: the server is past its handshake, and the client's first window is forgotten.
    if (f.server_nxt != f.cookie + 1 || server_acked_data(f)) return drop(s, c, Reason::consumed);
    if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
    // The answer to our second SYN. Was the ACK lost, it comes again by its own timer.
    if (s.tuning.hide_rtt && s.now32() - f.last_seen < kFirstRetryMs) {
      return drop(s, c, Reason::consumed);
    }
    const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
    return answer(s, c, handshake_ack(s, f, o.tsval), Reason::consumed, Reason::ack_to_server);
  }
  const SeqNum seq = g.seq - f.delta;
  if (g.has(kRst)) return on_rst(s, c, f, seq);
  if (g.has(kFin) && !checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  if (server_fits(f, g, seq)) note_server(s, f, g, seq);
  pass_to_client(s, c, f);
}

}  // namespace

void on_server_segment(EngineState& s, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  if (goes_past(s, c)) return forward(s, c, Reason::forwarded);
  if ((g.flags & (kSyn | kAck | kRst | kFin)) == kSyn) return on_server_syn(s, c, sink);
  const bool syn_ack = (g.flags & (kSyn | kAck | kRst)) == (kSyn | kAck);
  if (c.flow == kNoFlow) {
    if (syn_ack) return on_stale(s, c);
    return drop(s, c, Reason::no_flow_server);
  }
  const FlowRecord& f = s.table[c.flow];
  switch (f.state) {
    case FlowState::kSynSent:
      return on_server_segment_in_syn_sent(s, c, sink);
    case FlowState::kTombstone:
      if (g.has(kRst)) return drop(s, c, Reason::server_rst_ignored);
      if (!g.has(kAck)) return drop(s, c, Reason::no_flow_server);
      return on_stale(s, c);
    case FlowState::kPassed:
      s.table[c.flow].last_seen = s.now32();
      return forward(s, c, Reason::passed);
    default:
      return on_spliced(s, c);
  }
}

}  // namespace synproxy
