// SPDX-License-Identifier: BSD-3-Clause
// Client segments: SYN, ACK without a flow, and everything on a flow.
#include "burst/engine_state.h"
#include "spliced/progress.h"
#include "synproxy/proxy/translate.h"

namespace synproxy {
namespace {

void in_syn_sent(EngineState& s, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = s.table[c.flow];
  const SeqNum first(f.client_isn + 1);
  if (g.has(kRst)) {
    // Up to what is held. Not the whole window that the SYN-ACK showed: a late RST of the
    // connection before this one may fall into it.
    if (!g.seq.within(first, SeqNum(f.client_nxt))) {
      return drop(s, c, Reason::rst_out_of_window);
    }
    if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
    s.counters.count(Reason::conn_aborted);
    drop(s, c, Reason::consumed);
    return give_up(s, c.flow, false, true, sink);
  }
  if (g.ack == SeqNum(f.cookie + 1)) {
    if (g.seq_length() == 0 && g.seq == SeqNum(f.client_nxt) && checksum_ok(c)) {
      f.handshake().window = g.window;  // the server has to hear of the latest
    }
    if (g.seq_length() == 0 || g.seq.before(first)) return drop(s, c, Reason::cookie_retrans);
    if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
    return drop(s, c, hold(s, c, f) ? Reason::early_held : Reason::early_dropped);
  }
  // Not this handshake: perhaps the one of the SYN that came since.
  if (const auto m = match_marked(s, c, f)) return reopen_flow(s, c, *m, sink);
  drop(s, c, Reason::ack_unfit);
}

// The server refused, or we gave up: nothing more comes from this handshake, but a new one may
// come.
void on_tombstone(EngineState& s, Context& c, FrameSink& sink) {
  if (c.segment.has(kRst)) return drop(s, c, Reason::no_flow_client);
  if (const auto m = match_successor(s, c)) return reopen_flow(s, c, *m, sink);
  // Data of the next connection that has overtaken its handshake ACK quotes another cookie: a RST
  // would be exact for it.
  const FlowRecord& f = s.table[c.flow];
  if (!c.segment.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt))) {
    return drop(s, c, Reason::ack_unfit);
  }
  answer_with_rst(s, c, Role::kClient, Reason::cookie_retrans);
}

void on_passed(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  FlowRecord& f = s.table[c.flow];
  f.last_seen = s.now32();
  // The peer's answer to the server's SYN, or to the part of it that it took: from here on the flow
  // is followed like any other.
  if ((g.flags & (kSyn | kAck)) == (kSyn | kAck) &&
      g.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt))) {
    f.client_isn = g.seq.value();
    f.client_nxt = g.seq_end().value();
    set_state(s, f, FlowState::kEstablished);
  }
  forward(s, c, Reason::passed);
}

void on_rst(EngineState& s, Context& c, FlowRecord& f) {
  const Segment& g = c.segment;
  const std::uint32_t bound = server_window_bound(f);
  const SeqNum next(f.client_nxt);
  if (!g.seq.within(next - bound, next + bound)) return drop(s, c, Reason::rst_out_of_window);
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  // Exact for the server is what it has acknowledged; where nothing was lost, that is all there is.
  const auto acked =
      f.has(kFlowServerAcked) ? f.spliced().window : static_cast<std::uint16_t>(f.client_isn + 1);
  const bool exact =
      g.seq == next || (!g.seq.after(next) && static_cast<std::uint16_t>(g.seq.value()) == acked);
  if (exact) note_reset(s, f);
  pass_to_server(s, c, f);
}

// Whether the segment carries numbers of the connection that the mark announces.
bool is_of_mark(const FlowRecord& f, const Segment& g) {
  constexpr std::uint32_t kOpeningWindow = 0x10000;  // no SYN-ACK shows more
  return f.has(kFlowMarked) && g.seq - SeqNum(f.mark_isn) <= kOpeningWindow;
}

void on_spliced(EngineState& s, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = s.table[c.flow];
  if (g.has(kRst)) return on_rst(s, c, f);
  const bool fits = client_fits(f, g);
  if (is_over(f) && (!fits || f.has(kFlowMarked))) {
    // The client may have forgotten this connection and be opening the next one.
    if (const auto m = match_successor(s, c)) return reopen_flow(s, c, *m, sink);
  }
  if (fits) {
    if (g.has(kFin) && !checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
    note_client(s, f, g);
  } else if (const auto m = match_marked(s, c, f)) {
    return reopen_flow(s, c, *m, sink);
  } else if (is_over(f) || is_of_mark(f, g)) {
    // Data of the next connection that has overtaken its handshake ACK. In the old numbers it would
    // make the server, which knows neither, send a RST that the client's new connection accepts.
    return drop(s, c, Reason::ack_unfit);
  }
  pass_to_server(s, c, f);
}

}  // namespace

void on_client_segment(EngineState& s, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  if (g.has(kSyn) && !g.has(kAck)) return on_client_syn(s, c);
  if (goes_past(s, c)) return forward(s, c, Reason::forwarded);
  if (c.flow == kNoFlow) {
    if (g.has(kSyn)) return drop(s, c, Reason::syn_ack_client);
    if (g.has(kRst)) return drop(s, c, Reason::no_flow_client);
    return on_client_ack_without_flow(s, c, sink);
  }
  const FlowRecord& f = s.table[c.flow];
  if (f.state() == FlowState::kPassed) return on_passed(s, c);
  if (g.has(kSyn)) {
    // The peer of the server's own connection repeats its SYN-ACK.
    if ((f.options & kFlowOutbound) != 0) return forward(s, c, Reason::passed);
    return drop(s, c, Reason::syn_ack_client);
  }
  if (!g.has(kAck) && !g.has(kRst)) return drop(s, c, Reason::no_ack_flag);
  if (f.state() == FlowState::kSynSent) return in_syn_sent(s, c, sink);
  if (f.state() == FlowState::kTombstone) return on_tombstone(s, c, sink);
  on_spliced(s, c, sink);
}

}  // namespace synproxy
