// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/progress.h"

#include "synproxy/proxy/translate.h"

namespace synproxy {
namespace {

// A segment that comes this long after a RST was not under way when the RST passed: that end lives.
constexpr std::uint32_t kReviveMs = 1000;

// Every segment of a live connection renews it; one that follows a RST only when it proves life.
void touch(EngineState& s, FlowRecord& f) {
  const std::uint32_t now = s.now32();
  if (f.state() == FlowState::kClosing && !closed_by_both(f)) {
    if (now - f.last_seen < kReviveMs) return;
    set_state(s, f, FlowState::kEstablished);
  }
  f.last_seen = now;
  f.set(kFlowSpoke);
  f.clear(kFlowProbed);
}

void update_closing(EngineState& s, FlowRecord& f) {
  constexpr std::uint16_t kAcked = kFlowClientFinAcked | kFlowServerFinAcked;
  if (f.state() == FlowState::kFinished || !closed_by_both(f)) return;
  if ((f.progress & kAcked) == kAcked) {
    set_state(s, f, FlowState::kFinished);
    s.counters.count(Reason::conn_finished);
  } else {
    set_state(s, f, FlowState::kClosing);
  }
}

// Numbers go up segment by segment. A segment that leaves a gap has overtaken another or is
// damaged; were a damaged one believed, the flow's numbers would run away from its ends.
bool believable(const Segment& g, SeqNum first, SeqNum next) {
  return !first.after(next) || checksums_good(g);
}

Reason fate(const FlowRecord& f) {
  return (f.options & kFlowOutbound) != 0 ? Reason::passed : Reason::translated;
}

}  // namespace

void note_client(EngineState& s, FlowRecord& f, const Segment& g) {
  touch(s, f);
  if (g.seq_end().after(SeqNum(f.client_nxt)) && believable(g, g.seq, SeqNum(f.client_nxt))) {
    f.client_nxt = g.seq_end().value();
    // Alive. An old ACK that the SYN has overtaken proves nothing.
    f.clear(kFlowMarked);
  }
  widen_windows(f, std::uint32_t{g.window} << f.client_scale(), 0);
  if (g.has(kFin)) f.set(kFlowClientFin);
  if (f.has(kFlowServerFin) && g.ack == SeqNum(f.server_nxt)) {
    f.set(kFlowServerFinAcked);
  }
  if (f.has((kFlowClientFin | kFlowServerFin))) update_closing(s, f);
}

void note_server(EngineState& s, FlowRecord& f, const Segment& g, SeqNum seq) {
  touch(s, f);
  const SeqNum end = seq + g.seq_length();
  if (end.after(SeqNum(f.server_nxt)) && believable(g, seq, SeqNum(f.server_nxt))) {
    f.server_nxt = end.value();
  }
  if (g.has(kAck)) {
    // What the server acknowledges it has got, even where we saw it come in a shape that did not
    // fit.
    const bool known = !g.ack.after(SeqNum(f.client_nxt));
    if (!known && believable(g, g.ack, SeqNum(f.client_nxt))) f.client_nxt = g.ack.value();
    // The client's first window stays until there is something better to keep: from then on the
    // server needs no ACK of ours.
    if (f.has(kFlowServerAcked) || g.ack.after(SeqNum(f.client_isn + 1))) {
      f.spliced().window = static_cast<std::uint16_t>(g.ack.value());
      f.set(kFlowServerAcked);
    }
    if (f.has(kFlowClientFin) && g.ack == SeqNum(f.client_nxt)) {
      f.set(kFlowClientFinAcked);
    }
  }
  widen_windows(f, 0, std::uint32_t{g.window} << f.server_scale());
  if (g.has(kFin)) f.set(kFlowServerFin);
  if (f.has((kFlowClientFin | kFlowServerFin))) update_closing(s, f);
}

void note_reset(EngineState& s, FlowRecord& f) {
  f.last_seen = s.now32();
  if (f.state() == FlowState::kClosing) {
    // With both FINs there is nothing to come back to.
    if (closed_by_both(f)) set_state(s, f, FlowState::kFinished);
    return;
  }
  if (f.state() != FlowState::kEstablished) return;
  set_state(s, f, FlowState::kClosing);
  s.counters.count(Reason::conn_reset);
}

void pass_to_server(EngineState& s, Context& c, FlowRecord& f) {
  if ((f.options & kFlowServerNoEcn) != 0 && !clear_ect(c.segment)) {
    return drop(s, c, Reason::ce_without_ecn);
  }
  if ((f.options & kFlowOutbound) == 0 && !translate_to_server(c.segment, f)) {
    s.counters.count(Reason::bad_options);
  }
  forward(s, c, fate(f));
}

void pass_to_client(EngineState& s, Context& c, FlowRecord& f) {
  if ((f.options & kFlowOutbound) == 0 && !translate_to_client(c.segment, f)) {
    s.counters.count(Reason::bad_options);
  }
  forward(s, c, fate(f));
}

std::optional<CookieMatch> match_successor(EngineState& s, Context& c) {
  const FlowRecord& f = s.table[c.flow];
  if ((f.options & kFlowOutbound) == 0 && c.segment.ack == SeqNum(f.cookie + 1)) {
    return std::nullopt;
  }
  const CookieMatch m = match_cookie(s, c);
  if (!m.valid) return std::nullopt;
  return m;
}

std::optional<CookieMatch> match_marked(EngineState& s, Context& c, FlowRecord& f) {
  const Segment& g = c.segment;
  if (!f.has(kFlowMarked) || !g.has(kAck)) return std::nullopt;
  const std::uint32_t ahead = g.seq.value() - f.mark_isn;
  if (ahead > 1 || (ahead == 0 && g.payload_length > 1)) return std::nullopt;
  if (f.mark_tries() == kMaxMarkTries) return std::nullopt;  // until the next mark
  if (f.state() != FlowState::kSynSent) {
    const bool promised = f.has(kFlowMarkTimestamps);
    if (find_timestamps(g.options(), g.options_size()).present != promised) return std::nullopt;
  }
  f.set_mark_tries(f.mark_tries() + 1);
  const CookieMatch m = match_cookie_of(s, c, f.mark_isn);
  if (!m.valid) return std::nullopt;
  return m;
}

}  // namespace synproxy
