// SPDX-License-Identifier: BSD-3-Clause
// Handles segments from a protected server port: picks the act by the state of the flow, and passes
// segments of spliced flows.
#include "handshake/ask_server.h"
#include "handshake/server_answers.h"
#include "handshake/splice.h"
#include "spliced/outbound.h"
#include "spliced/progress.h"
#include "spliced/unknown.h"
#include "syn/ask_first.h"
#include "synproxy/proxy/spliced_numbers.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// Nobody waits for this segment any more. A RST keeps the server from holding a half-open
// connection.
void on_stale(Rooms& rooms, Context& c) {
  if (c.flow == kNoFlow) return answer_with_rst(rooms.counters, c, Reason::synack_stale);
  answer_with_rst(rooms.counters, c, Reason::synack_stale,
                  rooms.flows.look(rooms.flows[c.flow], Role::kClient));
}

void on_spliced(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  const std::uint32_t delta = f.spliced().delta;
  if (g.has(kSyn)) {
    // The server repeats its SYN-ACK, because our ACK was lost.
    const bool answers_our_syn =
        f.translated() && g.seq == SeqNum(f.cookie + delta) && g.ack == SeqNum(f.client_isn + 1);
    if (!answers_our_syn) {
      if (g.has(kAck) && on_watched_syn_ack(rooms, c, sink)) return;
      return drop(rooms.counters, c, Reason::no_flow_server);
    }
    // This is a late copy. The server has finished its handshake, and the client's first window is
    // no longer stored.
    if (f.server_nxt != f.cookie + 1 || f.has(kFlowServerAcked))
      return drop(rooms.counters, c, Reason::consumed);
    if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
    // This is the answer to our second SYN. If our ACK was lost, its own timer repeats it.
    if (rooms.now.ms32() - f.last_seen < kFirstRetryMs && hides_rtt(rooms, c.flow)) {
      return drop(rooms.counters, c, Reason::consumed);
    }
    const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
    return answer_syn_ack(rooms, c, f, o.tsval);
  }
  const SeqNum seq(number_to_client(g.seq.value(), delta));
  if (g.has(kRst)) return on_reset(rooms, c, f, seq);
  if (g.has(kFin) && !checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  if (fits<Role::kServer>(f, g, seq)) {
    follow_way(rooms, c, f);
    note<Role::kServer>(rooms, f, c, seq);
  } else if (is_over(f) && answers_passed_syn(rooms, c)) {
    return;  // of the next connection, ahead of its SYN-ACK: it does not have the old numbers
  }
  pass_to_client(rooms, c, f);
}

}  // namespace

void on_server_segment(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  if ((g.flags & (kSyn | kAck | kRst | kFin)) == kSyn) return on_server_syn(rooms, c, sink);
  const bool syn_ack = (g.flags & (kSyn | kAck | kRst)) == (kSyn | kAck);
  if (c.flow == kNoFlow) {
    if (answers_asked(rooms, c, sink)) return;
    if (syn_ack) {
      if (on_watched_syn_ack(rooms, c, sink)) return;
      if (checksum_ok(c)) note_answer(rooms, c.key());
      return on_stale(rooms, c);
    }
    if (answers_passed_syn(rooms, c)) return;
    return on_unknown_server(rooms, c, sink);
  }
  const FlowRecord& f = rooms.flows[c.flow];
  switch (f.state()) {
    case FlowState::kSynSent:
      return on_server_answer(rooms, c, sink);
    case FlowState::kTombstone:
      if (answers_asked(rooms, c, sink)) return;
      if (syn_ack && on_watched_syn_ack(rooms, c, sink)) return;
      if (g.has(kRst)) return drop(rooms.counters, c, Reason::server_rst_ignored);
      if (!g.has(kAck)) return drop(rooms.counters, c, Reason::no_flow_server);
      return on_stale(rooms, c);
    case FlowState::kPassed:
      if (f.watched()) return on_server_half_open(rooms, c, sink);
      rooms.flows[c.flow].last_seen = rooms.now.ms32();
      return forward(rooms.counters, c, Reason::passed);
    default:
      return on_spliced(rooms, c, sink);
  }
}

}  // namespace synproxy
