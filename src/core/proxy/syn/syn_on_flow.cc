// SPDX-License-Identifier: BSD-3-Clause
// A SYN on a flow: answered like any other, and the flow takes note of it.
#include "syn/answer_syn.h"

#include "burst/flow_key.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

// A live flow remembers the ISN of a SYN that came on it, one SYN a second, whatever became of the
// mark before: a flood of SYNs with the flow's own addresses can neither push out the real one all
// the time nor buy more tries than a mark has.
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

void remember_syn_ack(const Context& c, const TcpReply& syn_ack, SynAckRepeats::Entry& e) {
  key_of(c.segment, c.sender, e.key);
  e.syn_ack = syn_ack;
  e.link.set({c.segment.frame, c.segment.l3_offset});
}

void remember_common_syn_ack(const Context& c, const Cookie& cookie, std::uint32_t flags,
                             SynAckRepeats::Entry& e) {
  const SynAckOffer& offer = c.syn.offer;
  TcpReply r;
  r.seq = SeqNum(cookie.isn);
  r.ack = c.segment.seq + 1;
  r.flags = static_cast<std::uint16_t>(flags);
  r.window = offer.window;
  r.mss = offer.mss;
  r.window_scale = offer.window_scale;
  r.sack_permitted = true;
  r.timestamps = true;
  r.tsval = cookie.tsval;
  r.tsecr = find_timestamps(c.segment.options(), c.segment.options_size()).tsval;
  remember_syn_ack(c, r, e);
}

void on_client_syn(Rooms& rooms, Context& c) {
  if (!plan_syn(rooms.now, rooms.answerer, rooms.counters, c)) return;
  if (c.flow != kNoFlow) {
    FlowRecord& f = rooms.flows[c.flow];
    if (f.state() == FlowState::kPassed)
      return forward(rooms.counters, c, Reason::passed);  // simultaneous open
    mark(rooms.now, f, c.segment.seq, c.syn.agreed.timestamps);
  }
  const LayoutKey& key = key_of_layout(*c.syn.keys, c.syn.agreed.timestamps);
  const MacInput in = cookie_mac_input(c.key(), c.segment.seq.value());
  const std::uint64_t mac = siphash24(key.k0, key.k1, in.words.data(), in.count);
  answer_syn(rooms.now, rooms.answerer, rooms.counters, c, cover_vlan(mac, key, c.segment.vlan));
}

}  // namespace synproxy
