// SPDX-License-Identifier: BSD-3-Clause
// A SYN on a flow is answered like any other, and the flow remembers it.
#include "syn/answer_syn.h"

#include "burst/flow_key.h"
#include "burst/rooms.h"
#include "syn/ask_first.h"

namespace synproxy {
namespace {

// A live flow remembers the ISN of a SYN that came on it. It takes one SYN a second, whatever
// became of the previous mark. So a flood of SYNs with the flow's addresses can neither displace
// the real one all the time nor gain more tries than one mark allows.
void mark(const Moment& now, FlowRecord& f, SeqNum isn, bool timestamps) {
  if (isn.value() == f.client_isn) return;
  if (f.state() != FlowState::kSynSent) {
    const std::uint16_t second = now.second();
    if (f.has(kFlowMarkTimed) && f.spliced().mark_second == second) return;
    f.spliced().mark_second = second;
    f.set(kFlowMarkTimed);
    f.set_mark_tries(0);
  }
  f.mark_isn = isn.value();
  f.clear(kFlowMarkTimestamps);
  f.set(static_cast<std::uint16_t>(kFlowMarked | (timestamps ? kFlowMarkTimestamps : 0)));
}

}  // namespace

void remember_syn_ack(const Context& c, TcpReply syn_ack, SynAckRepeats::Entry& e) {
  key_of(c.segment, c.sender, e.key);
  e.syn_ack = syn_ack;
  e.link.set({c.segment.frame, c.segment.l3_offset});
}

void on_client_syn(Rooms& rooms, Context& c) {
  if (!plan_syn(rooms.now, rooms.answerer, rooms.counters, c)) return;
  bool alone = true;  // no flow stands in its way
  if (c.flow != kNoFlow) {
    FlowRecord& f = rooms.flows[c.flow];
    rooms.counters.count(Reason::syn_received);
    if (f.state() == FlowState::kPassed)
      return forward(rooms.counters, c, Reason::passed);  // simultaneous open
    mark(rooms.now, f, c.segment.seq, c.syn.timestamps());
    alone = f.state() == FlowState::kTombstone;
  }
  if (alone && ask_first(rooms, c, c.segment.seq.value())) return;
  if (c.flow == kNoFlow) rooms.counters.count(Reason::syn_received);
  const EpochKeys& keys = *rooms.now.keys().current();
  const LayoutKey& key = key_of_layout(keys, c.syn.timestamps());
  const MacInput in = cookie_mac_input(c.key(), c.segment.seq.value());
  const std::uint64_t mac = siphash24(key.k0, key.k1, in.words.data(), in.count);
  if (answer_syn(rooms.now, rooms.answerer, rooms.counters, c, keys,
                 cover_vlan(mac, key, c.segment.vlan), true)) {
    rooms.counters.count(Reason::synack_sent);
  }
}

}  // namespace synproxy
