// SPDX-License-Identifier: BSD-3-Clause
// Handles what the server answers to our SYN.
#include "handshake/server_answers.h"

#include "flows/end_flow.h"
#include "handshake/ask_server.h"
#include "handshake/splice.h"
#include "syn/ask_first.h"

namespace synproxy {
namespace {

// For so long a copy may still come of a SYN-ACK that was answered with a RST.
constexpr std::uint32_t kCopiesMs = 1000;

Abilities promised(const FlowRecord& f) {
  return {.timestamps = (f.options & kFlowTimestamps) != 0,
          .sack = (f.options & kFlowSack) != 0,
          .ecn = (f.options & kFlowEcn) != 0};
}

struct Learned {
  bool more;         // the server has taken up more than the client was promised
  bool scale;        // it has taken up a scale that only the client's own SYN can have asked for
  bool unasked_ecn;  // it has taken up ECN, and no SYN of ours has asked for it
  std::uint16_t promised_mss;  // what clients of the service may have been promised by `auto`
};
Learned learn_service(Rooms& rooms, const Context& c, const FlowRecord& f, const TcpOptions& o) {
  const Abilities client = promised(f);
  ServiceTable::Answer a;
  const bool asked_more =
      f.has(kFlowAskedMore) && rooms.now.earlier().same_offer_since(f.last_seen, rooms.now.ms());
  const Abilities extra = asked_more ? wanted(rooms.now.tuning().offer) : Abilities{};
  a.asked = {.timestamps = client.timestamps || extra.timestamps,
             .sack = client.sack || extra.sack,
             .ecn = client.ecn || extra.ecn};
  a.scale_asked = (f.options & kFlowClientScales) != 0;
  a.options = o;
  a.ecn = is_ecn_setup(c.segment);
  a.window = c.segment.window;
  a.ttl = look_of(c.segment).ttl;
  const std::uint16_t promised =
      rooms.answerer.services().learn(c.key(), rooms.now.epoch(), rooms.now.ms(), a);
  const Abilities granted{.timestamps = o.timestamps, .sack = o.sack_permitted, .ecn = a.ecn};
  const bool scale = o.window_scale != kNoScale && !a.scale_asked && f.has(kFlowSynPassed);
  return {!client.covers(granted), scale, a.ecn && !client.ecn && !f.has(kFlowEverAskedMore),
          promised};
}

}  // namespace

void on_server_answer(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  rooms.flows.prefetch_look(c.flow);
  // RFC 9293 section 3.10.7.3, in its order: ACK, RST, SYN.
  const bool acks_our_syn = g.has(kAck) && g.ack == SeqNum(f.client_isn + 1);
  if (g.has(kRst)) {
    // A SYN is refused with number 0. A RST with the number that follows our cookie answers a
    // keepalive that went out before the client's handshake ACK came (spliced/unknown.cc).
    if (!acks_our_syn || g.seq == SeqNum(f.cookie + 1)) {
      return drop(rooms.counters, c, Reason::server_rst_ignored);
    }
    if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
    rooms.services.count(c.key(), Reason::conn_refused);
    note_dead(rooms, c.key());
    drop(rooms.counters, c, Reason::consumed);
    return give_up(rooms, c.flow, true, false, sink);
  }
  if (!g.has(kAck)) return drop(rooms.counters, c, Reason::no_flow_server);
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  note_answer(rooms, c.key());
  if (acks_our_syn && g.has(kSyn)) {
    const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
    const auto [more, scale, unasked_ecn, promised_mss] = learn_service(rooms, c, f, o);
    // This may be a copy of a SYN-ACK that was answered. By now the server may be in the handshake
    // of our second SYN, and a RST with this number would end that one. A later SYN-ACK is no copy:
    // our RST was lost.
    const bool asked_again = f.has(kFlowAskedAgain);
    const bool may_be_copy = asked_again && rooms.now.ms32() - f.last_seen < kCopiesMs;
    // If no SYN asked for more, the server grants what nobody asked for. It would do so again, so
    // its extras are ignored. Only ECN must not be ignored: the server would mark what it sends,
    // for a client that does not answer marks (RFC 3168 section 6.1.1). Most likely it answers a
    // SYN of the client's own, which passed before this service had cookies, so it is asked once
    // more.
    const bool unheard = unasked_ecn && (!asked_again || may_be_copy);
    // A scale of such a SYN makes the server take the client's windows for larger than they are
    // (RFC 7323 section 2.2). We never ask for one in order to learn.
    const bool too_much = scale || (more && (f.has(kFlowEverAskedMore) || unheard));
    // And if the server is opening this connection too, a RST would end it for good: it knows that
    // the client may leave the extras unused.
    if (!too_much || f.has(kFlowServerOpens)) {
      return splice(rooms, c, f, o, promised_mss, sink);
    }
    rooms.counters.count(Reason::server_shows_more);
    if (may_be_copy) return drop(rooms.counters, c, Reason::consumed);
    return ask_again(rooms, c, f, sink);
  }
  // Fifth step: a good ACK without SYN is dropped. A server in SYN-RECEIVED sends it when a late
  // segment of an older connection arrives. A RST with this number would kill the connection in the
  // making.
  if (acks_our_syn) return drop(rooms.counters, c, Reason::no_flow_server);
  // A flow that waits for its turn has asked nothing that this could answer.
  if (f.waits_for_turn()) return drop(rooms.counters, c, Reason::no_flow_server);
  // A challenge ACK of an older connection that the server still has (RFC 5961 section 4). We reset
  // that connection, as a TCP client does.
  rooms.counters.count(Reason::challenge_ack);
  ask_again(rooms, c, f, sink);
}

}  // namespace synproxy
