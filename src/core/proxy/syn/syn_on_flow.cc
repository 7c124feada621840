// SPDX-License-Identifier: BSD-3-Clause
// A SYN on a flow: answered like any other, and the flow takes note of it.
#include "syn/answer_syn.h"

#include "burst/flow_key.h"

namespace synproxy {
namespace {

// A live flow remembers the ISN of a SYN that came on it, one SYN a second, whatever became of the
// mark before: a flood of SYNs with the flow's own addresses can neither push out the real one all
// the time nor buy more tries than a mark has.
void mark(EngineState& s, FlowRecord& f, SeqNum isn, bool timestamps) {
  if (isn.value() == f.client_isn) return;
  const std::uint16_t second = mark_second(s.now_ms, timestamps);
  if (f.state == FlowState::kSynSent) {  // FlowRecord::mss is still needed
    f.windows = timestamps ? 1 : 0;
  } else {
    if (f.mss >> 1 == second >> 1) return;
    f.mss = second;
    f.tries &= 0xf0U;
  }
  f.mark_isn = isn.value();
  f.progress = static_cast<std::uint8_t>((f.progress | kFlowMarked) & ~kFlowAgeKnown);
}

}  // namespace

void remember_syn_ack(const Context& c, TcpReply syn_ack, SynAckRepeats::Entry& e) {
  key_of(c.segment, c.sender, e.key);
  e.syn_ack = syn_ack;
  e.link.set({c.segment.frame, c.segment.l3_offset});
}

void on_client_syn(EngineState& s, Context& c) {
  if (!plan_syn(s, c)) return;
  s.counters.count(Reason::syn_received);
  if (c.flow != kNoFlow) {
    FlowRecord& f = s.table[c.flow];
    if (f.state == FlowState::kPassed) return forward(s, c, Reason::passed);  // simultaneous open
    mark(s, f, c.segment.seq, c.syn.timestamps());
  }
  const EpochKeys& keys = *s.keys.current();
  const LayoutKey& key = key_of_layout(keys, c.syn.timestamps());
  const MacInput in = cookie_mac_input(c.key(), c.segment.seq.value());
  const std::uint64_t mac = siphash24(key.k0, key.k1, in.words.data(), in.count);
  if (answer_syn(s, c, keys, cover_vlan(mac, key, c.segment.vlan), true)) {
    s.counters.count(Reason::synack_sent);
  }
}

}  // namespace synproxy
