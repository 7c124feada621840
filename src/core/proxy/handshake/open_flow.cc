// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/open_flow.h"

#include "ack/prove_ack.h"
#include "flows/end_flow.h"
#include "handshake/admit.h"
#include "handshake/ask_server.h"
#include "handshake/client_waits.h"
#include "handshake/take_turns.h"
#include "spliced/unknown.h"
#include "syn/earlier_syn.h"
#include "time/eviction.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// How the server's segments to this client look, as far as the service has shown it.
IpLook presumed_look(Rooms& rooms, const Context& c) {
  IpLook look = look_of_answer(look_of(c.segment));
  look.ttl = rooms.answerer.offer(rooms.now, c.key()).ttl_for(look.ttl);
  return look;
}

void refuse(Rooms& rooms, Context& c, Admission refusal) {
  const bool over = refusal == Admission::kOverRate || refusal == Admission::kOverConns;
  if (over && rooms.services.tuning(c.key()).action == LimitAction::kReset) {
    return answer_with_rst(rooms.counters, c, reason_of(refusal), presumed_look(rooms, c));
  }
  // A client that sends data believes in this connection. The RST lets it try again if the filter
  // was wrong.
  const bool answered =
      refusal == Admission::kReplayed && c.flow == kNoFlow && c.segment.payload_length != 0;
  if (answered) {
    return answer_with_rst(rooms.counters, c, reason_of(refusal), presumed_look(rooms, c));
  }
  drop(rooms.counters, c, reason_of(refusal));
}

void give_way(Rooms& rooms, Context& c, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[c.flow];
  if (f.state() != FlowState::kPassed) rooms.counters.count(Reason::conn_reopened);
  const bool live = f.state() == FlowState::kSynSent || f.state() == FlowState::kEstablished;
  if (live && !f.unasked())
    rooms.frames.send_rst(f, rooms.flows.key_of(c.flow), Role::kServer, sink);
  free_flow(rooms, c.flow);
  c.flow = kNoFlow;
}

void write_record(Rooms& rooms, FlowIndex i, const Context& c, const CookieMatch& m) {
  FlowRecord& f = rooms.flows[i];
  const Segment& g = c.segment;
  const bool timestamps = m.options.timestamps;
  const bool scales = m.options.wscale != kNoScale;
  const FlowBook::Change change(rooms.flows, i);
  rooms.flows.become_handshake(change, f,
                               {.early = EarlyStore::kNone,
                                // The client echoes it.
                                .our_tsval = timestamps ? m.timestamps.tsecr : 0,
                                .mss = m.options.mss,
                                .window = g.window});
  f.client_isn = m.client_isn;
  f.cookie = (g.ack - 1).value();
  f.client_nxt = m.client_isn + 1;
  f.server_nxt = g.ack.value();
  f.opening_tsval = timestamps ? m.timestamps.tsval : 0;
  f.last_seen = rooms.now.ms32();
  f.set_epoch(m.epoch);
  f.set_link(rooms.frames.new_link(rooms.flows.key_of(i), Role::kClient, link_header(g)),
             scales ? m.options.offered_scale : 0);
  f.options = static_cast<std::uint8_t>(
      (timestamps ? kFlowTimestamps : 0) | (m.options.sack ? kFlowSack : 0) |
      (m.options.ecn ? kFlowEcn : 0) | (scales ? kFlowClientScales : 0) |
      // is_stripped() goes by it.
      (m.stripped ? kFlowServerNoEcn : 0));
  if (scales) f.set_scales(m.options.wscale, 0);
  rooms.flows.set_look(f, Role::kClient, look_of(g));
  rooms.flows.set_look(f, Role::kServer, presumed_look(rooms, c));
}

void measure(Rooms& rooms, FlowIndex i, const CookieMatch& m) {
  const std::uint32_t now = rooms.now.ms32();
  const auto wait = rooms.answerer.syn_times().proven(m.mac, now);
  if (!wait) return;
  rooms.felt.handshake(rooms.flows.key_of(i), wait->ms, wait->repeats, now);
  // Of the same sample, so that a flood of connections pays for few of them.
  FlowRecord& f = rooms.flows[i];
  if (rooms.felt.await_first_byte(f.cookie, now)) f.set(kFlowFirstByteDue);
}

}  // namespace

void on_client_ack_without_flow(Rooms& rooms, Context& c, FrameSink& sink) {
  const CookieMatch m = match_cookie(rooms.now, rooms.answerer, c);
  if (!m.valid) return on_unknown_client(rooms, c, sink);
  open_proven(rooms, c, m, sink);
}

void open_proven(Rooms& rooms, Context& c, const CookieMatch& m, FrameSink& sink) {
  if (cut_to_hold(c)) return;
  SourceLimits::Charge charge;
  const Admission verdict = admit(rooms, c, m, charge);
  if (verdict != Admission::kAdmitted) return refuse(rooms, c, verdict);
  rooms.services.count(c.key(), Reason::cookie_valid);
  if (is_adaptive(rooms, c)) rooms.watch.activation.proven(c.service, rooms.now.ms());
  if (m.stripped) rooms.counters.count(Reason::timestamps_stripped);
  // The server is opening a connection of its own to this client, and will take our SYN for the
  // client's. It cannot be asked a second time, so it is not asked for more than was promised.
  const bool crossing = c.flow != kNoFlow && rooms.flows[c.flow].state() == FlowState::kPassed &&
                        rooms.flows[c.flow].opened_by_server();
  if (c.flow != kNoFlow) give_way(rooms, c, sink);

  const Segment& g = c.segment;
  const FlowIndex i = take_record(rooms, c, sink);
  if (i == kNoFlow) {
    if (rooms.limiter.on()) rooms.limiter.give_back(charge);
    return answer_with_rst(rooms.counters, c, Reason::table_full, presumed_look(rooms, c));
  }
  FlowRecord& f = rooms.flows[i];
  write_record(rooms, i, c, m);
  mark_by_earlier_syn(rooms, c, f);
  measure(rooms, i, m);
  if (rooms.limiter.on()) rooms.limiter.keep(i, charge);
  c.flow = i;
  // The byte of a probe lies before the first one. Any other segment may carry the first data.
  const bool early = g.seq == SeqNum(f.client_nxt) && g.seq_length() != 0;
  if (early) {
    hold_early(rooms, c);
  } else {
    drop(rooms.counters, c, Reason::consumed);
  }
  // The client's own SYN was passed to the server, which may wait half open for ours. It must not
  // find more options in ours: lwIP would take them up. And it may have agreed to more than was
  // promised.
  const bool asked = rooms.answerer.doubts().asked(c.key(), c.hash, SeqNum(f.client_isn),
                                                   rooms.now.ms32()) != nullptr;
  // A server that has seen the client's SYN before cookies began, or after they ended, may wait in
  // the same way.
  const bool passed = rooms.watch.notes.lately(rooms.now.ms32()) &&
                      rooms.watch.notes.find(c.hash, rooms.now.ms32()) != nullptr;
  if (passed) rooms.watch.notes.forget(c.hash);
  if (asked || passed) f.set(kFlowEverAskedMore);
  if (asked || passed || rooms.adopts) f.set(kFlowSynPassed);
  if (rooms.turns.on() && waits_for_turn(rooms, i, c, crossing || asked || passed)) [[unlikely]]
    return;
  ask_server(rooms, i, !crossing && !asked && !passed && probe_due(rooms, c), sink);
  rooms.handshakes.await_syn_ack(i, f, rooms.now.ms32());
}

}  // namespace synproxy
