// SPDX-License-Identifier: BSD-3-Clause
// A SYN on a flow is answered like any other, and the flow remembers it. If it has the flow's own
// ISN, the client may have restarted (same_isn.h).
#include "burst/flow_key.h"
#include "burst/rooms.h"
#include "spliced/outbound.h"
#include "spliced/progress.h"
#include "syn/answer_syn.h"
#include "syn/ask_first.h"
#include "syn/cap_replies.h"
#include "syn/same_isn.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// A live flow remembers the ISN of a SYN that came on it. It takes one SYN a second, whatever
// became of the previous mark. So a flood of SYNs with the flow's addresses can neither displace
// the real one all the time nor gain more tries than one mark allows.
void mark(const Moment& now, FlowRecord& f, SeqNum isn, bool timestamps) {
  if (isn.value() == f.client_isn && !may_begin_anew(f)) return;
  if (f.state() != FlowState::kSynSent) {
    const std::uint16_t second = now.second();
    if (f.has(kFlowMarkTimed) && f.spliced().mark_second == second) return;
    f.spliced().mark_second = second;
    f.set(kFlowMarkTimed);
    f.set_mark_tries(0);
  }
  f.mark_isn = isn.value();
  if (f.opened_by_server()) f.options &= static_cast<std::uint8_t>(~kFlowOpensAnew);
  f.clear(kFlowMarkTimestamps);
  f.set(static_cast<std::uint16_t>(kFlowMarked | (timestamps ? kFlowMarkTimestamps : 0)));
}

// What the server has acknowledged. If that is the SYN alone, a client in SYN-SENT would accept the
// ack. So while data is under way, an ack of nothing takes its place.
SeqNum challenge_ack(const FlowRecord& f) {
  const SeqNum first(f.client_isn + 1);
  const SeqNum acked(f.acked_by_server());
  if (acked != first) return acked;
  return f.client_nxt == first.value() ? first : first - 1;
}

// RFC 5961 section 4. A client that has restarted looks at the ack alone (RFC 9293
// section 3.10.7.3) and answers with a RST. But a late copy of the SYN brings the challenge to a
// client that lives, and what the server has not acknowledged may still be lost: that client must
// not take our ack for the server's. So the number is older than any that it accepts, and it only
// repeats its own ACK. Some stacks (lwIP) look at the ack of a segment so old, too: it says no more
// than the server has said.
void challenge(Rooms& rooms, Context& c, const FlowRecord& f) {
  if (!rooms.answerer.challenges().take(c.flow, rooms.now.ms32())) {
    return drop(rooms.counters, c, Reason::syn_own_isn);
  }
  TcpReply r;
  r.seq = SeqNum(f.server_nxt) - 1 - client_window_bound(f);
  r.ack = challenge_ack(f);
  r.flags = kAck;
  r.window = 0xffff;  // nobody uses it
  r.timestamps = (f.options & kFlowTimestamps) != 0;
  answer(rooms.counters, c, r, rooms.flows.look(f, Role::kServer), Reason::syn_own_isn,
         Reason::challenge_to_client);
}

}  // namespace

void fill_in(SynAckRepeats::Entry& e, const Context& c, const TcpReply& syn_ack) {
  key_of(c.segment, c.sender, e.key);
  e.syn_ack = syn_ack;
  e.look = c.segment.ipv6 ? look_of_syn_ack<true>(c) : look_of_syn_ack<false>(c);
  e.link = link_header(c.segment);
}

void remember_syn_ack(const Moment& now, SynAckRepeats& repeats, const Context& c,
                      TcpReply syn_ack) {
  SynAckRepeats::Entry* e = repeats.admit(now.ms32());
  if (e == nullptr) return;
  fill_in(*e, c, syn_ack);
  repeats.file(*e, c.hash);
}

void follow_syn(const Moment& now, Answerer& answerer, Counters& counters, std::uint64_t mac) {
  if (answerer.syn_times().answered(mac, now.ms32())) counters.count(Reason::syn_repeated);
}

bool refuses_syn_ack(Rooms& rooms, const Context& c) {
  const SeqNum seq = c.segment.seq;
  if (c.flow != kNoFlow) {
    // Unless its number is that of the mark, it is the flow's own RST.
    FlowRecord& f = rooms.flows[c.flow];
    const bool of_mark = f.has(kFlowMarked) && f.mark_isn != f.client_isn &&
                         seq == SeqNum(f.mark_isn) + 1 && checksum_ok(c);
    if (!of_mark) return false;
    f.clear(kFlowMarked);
  }
  SynAckRepeats::Entry* e = rooms.answerer.repeats().find(c.key(), c.hash, seq);
  const bool found = e != nullptr && checksum_ok(c);
  if (found) e->refused = true;
  return found || c.flow != kNoFlow;
}

void on_client_syn(Rooms& rooms, Context& c) {
  const Segment& g = c.segment;
  if (rooms.watch.on() && passes_syn(rooms, c)) return;
  const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
  if (!plan_syn(rooms.now, rooms.answerer, rooms.counters, c, o)) return;
  std::uint32_t covered_isn = c.segment.seq.value();
  bool alone = true;  // no flow stands in its way
  if (c.flow != kNoFlow) {
    FlowRecord& f = rooms.flows[c.flow];
    rooms.counters.count(Reason::syn_received);
    if (f.state() == FlowState::kPassed) {
      // The server has answered it, or the mode has changed since.
      if (f.watched()) return forward(rooms.counters, c, Reason::watched);
      return on_syn_to_outbound(rooms, c);
    }
    if (repeats_isn(f, c.segment.seq)) {
      if (f.state() == FlowState::kEstablished) return challenge(rooms, c, f);
      if (may_begin_anew(f)) covered_isn = renewed_isn(f);
    }
    if (reply_capped(rooms, c)) return;
    mark(rooms.now, f, c.segment.seq, c.syn.timestamps());
    alone = f.state() == FlowState::kTombstone;
  } else if (reply_capped(rooms, c)) {
    return rooms.counters.count(Reason::syn_received);
  }
  if (is_adaptive(rooms, c)) count_syn(rooms, c);
  rooms.now.note_cookie();
  if (alone && ask_first(rooms, c, covered_isn)) return;
  if (c.flow == kNoFlow) rooms.counters.count(Reason::syn_received);
  const EpochKeys& keys = *rooms.now.keys().current();
  const LayoutKey& key = key_of_layout(keys, c.syn.timestamps());
  const std::uint64_t mac = siphash24(key.k0, key.k1, cookie_mac_input(c.key(), covered_isn));
  if (answer_syn(rooms.now, rooms.answerer, rooms.counters, c, keys, mac, true)) {
    rooms.counters.count(Reason::synack_sent);
  }
}

}  // namespace synproxy
