// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/progress.h"

#include "synproxy/proxy/translate.h"

namespace synproxy {
namespace {

// A segment that comes this long after a RST was not under way when the RST passed: that end lives.
constexpr std::uint32_t kReviveMs = 1000;

// Every segment of a live connection renews it. After a RST only a segment that proves life does.
void touch(Rooms& rooms, FlowRecord& f) {
  const std::uint32_t now = rooms.now.ms32();
  if (f.state() == FlowState::kClosing && !closed_by_both(f)) {
    if (now - f.last_seen < kReviveMs) return;
    rooms.flows.set_state(f, FlowState::kEstablished);
  }
  f.last_seen = now;
  f.set(kFlowSpoke);
  f.clear(kFlowProbed | kFlowProbedAgain | kFlowRepeated);
}

void update_closing(Rooms& rooms, FlowRecord& f) {
  constexpr std::uint16_t kAcked = kFlowClientFinAcked | kFlowServerFinAcked;
  if (f.state() == FlowState::kFinished || !closed_by_both(f)) return;
  if ((f.progress & kAcked) == kAcked) {
    rooms.flows.set_state(f, FlowState::kFinished);
    rooms.counters.count(Reason::conn_finished);
  } else {
    rooms.flows.set_state(f, FlowState::kClosing);
  }
}

// Whether a segment's number may move the flow's. Numbers go up segment by segment. A segment that
// leaves a gap has overtaken another or is damaged. Believing a damaged one would move the flow's
// numbers away from its ends.
bool believable(const Segment& g, SeqNum first, SeqNum next) {
  return !first.after(next) || checksums_good(g);
}

Reason fate(const FlowRecord& f) {
  return (f.options & kFlowOutbound) != 0 ? Reason::passed : Reason::translated;
}

}  // namespace

void note_client(Rooms& rooms, FlowRecord& f, const Segment& g) {
  touch(rooms, f);
  if (g.seq_end().after(SeqNum(f.client_nxt)) && believable(g, g.seq, SeqNum(f.client_nxt))) {
    f.client_nxt = g.seq_end().value();
    // New data proves that this connection lives, so the mark goes. An old ACK that the SYN has
    // overtaken proves nothing.
    f.clear(kFlowMarked);
  } else if (g.seq_length() != 0) {
    f.set(kFlowRepeated);
  }
  widen_windows(f, std::uint32_t{g.window} << f.client_scale(), 0);
  if (g.has(kFin)) f.set(kFlowClientFin);
  if (f.has(kFlowServerFin) && g.ack == SeqNum(f.server_nxt)) {
    f.set(kFlowServerFinAcked);
  }
  if (f.has((kFlowClientFin | kFlowServerFin))) update_closing(rooms, f);
}

void note_server(Rooms& rooms, FlowRecord& f, const Segment& g, SeqNum seq) {
  touch(rooms, f);
  const SeqNum end = seq + g.seq_length();
  if (end.after(SeqNum(f.server_nxt)) && believable(g, seq, SeqNum(f.server_nxt))) {
    f.server_nxt = end.value();
  } else if (end != seq) {
    f.set(kFlowRepeated);
  }
  if (g.has(kAck)) {
    // What the server acknowledges has reached it, even if the segment did not fit when we saw it.
    const bool known = !g.ack.after(SeqNum(f.client_nxt));
    if (!known && believable(g, g.ack, SeqNum(f.client_nxt))) f.client_nxt = g.ack.value();
    // The client's first window stays until the server acknowledges data. From then on it needs no
    // ACK of ours.
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
  if (f.has((kFlowClientFin | kFlowServerFin))) update_closing(rooms, f);
}

void note_reset(Rooms& rooms, FlowRecord& f) {
  f.last_seen = rooms.now.ms32();
  if (f.state() == FlowState::kClosing) {
    // After both FINs the flow cannot revive.
    if (closed_by_both(f)) rooms.flows.set_state(f, FlowState::kFinished);
    return;
  }
  if (f.state() != FlowState::kEstablished) return;
  // A RST that answers a keepalive comes from an end that has forgotten this connection. Whoever
  // speaks after that speaks to nobody, so the flow cannot revive.
  rooms.flows.set_state(f, f.has(kFlowProbed) ? FlowState::kFinished : FlowState::kClosing);
  rooms.counters.count(Reason::conn_reset);
}

void pass_to_server(Rooms& rooms, Context& c, FlowRecord& f) {
  if ((f.options & kFlowServerNoEcn) != 0 && !clear_ect(c.segment)) {
    return drop(rooms.counters, c, Reason::ce_without_ecn);
  }
  if ((f.options & kFlowOutbound) == 0 && !translate_to_server(c.segment, f)) {
    rooms.counters.count(Reason::bad_options);
  }
  forward(rooms.counters, c, fate(f));
}

void pass_to_client(Rooms& rooms, Context& c, FlowRecord& f) {
  if ((f.options & kFlowOutbound) == 0 && !translate_to_client(c.segment, f)) {
    rooms.counters.count(Reason::bad_options);
  }
  forward(rooms.counters, c, fate(f));
}

}  // namespace synproxy
