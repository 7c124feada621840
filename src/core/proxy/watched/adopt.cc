// SPDX-License-Identifier: BSD-3-Clause
#include "watched/adopt.h"

#include "spliced/progress.h"
#include "spliced/unknown.h"
#include "syn/earlier_syn.h"
#include "synproxy/wire/tcp_options.h"
#include "time/eviction.h"

namespace synproxy {
namespace {

constexpr unsigned kPresumedScale = 10;               // of a raw window: 64 MB at most
constexpr std::uint32_t kPresumedWindow = 16U << 20;  // at least

Adoption::Shown shown_by(const Segment& g) {
  return {.seq = g.seq, .end = g.seq_end(), .ack = g.ack, .fin = g.has(kFin)};
}

// A segment that goes on without a flow, or no further.
void pass_on(Rooms& rooms, Context& c) { forward(rooms.counters, c, Reason::adopt_forwarded); }
void shed(Rooms& rooms, Context& c) {
  const ServiceTuning& tuning = rooms.services.tuning(c.key());
  if (tuning.forwards_unknown()) return pass_unknown(rooms, c, tuning);
  drop(rooms.counters, c, Reason::adopt_shed);
}

// A server's RST that answers what quotes_our_syn_ack() has the number that this acknowledged (RFC
// 9293 section 3.10.7.1). Where the SYN-ACK is not remembered any more, its client is known by what
// it has sent lately.
bool resets_new_client(Rooms& rooms, const Context& c) {
  const SeqNum isn = c.segment.seq - 1;
  if (rooms.answerer.repeats().find_sent(c.key(), c.hash, isn) != nullptr) return true;
  return rooms.now.keys_to_check(cookie_parity(isn.value())) != nullptr &&
         !rooms.adoption.server_reset(c.hash, rooms.now.ms32());
}

// Takes the server's numbers, which are right. What a client has sent beyond them counts when the
// server has acknowledged it.
void write_numbers(FlowRecord& f, SeqNum server_nxt, SeqNum client_nxt, SeqNum acked_by_client) {
  f.client_nxt = client_nxt.value();
  f.server_nxt = server_nxt.value();
  // Neither side's ISN is known. Both have spoken: the numbers begin before what was acknowledged.
  f.client_isn = f.client_nxt - 2;
  f.cookie = acked_by_client.value() - 1;
  f.start_acks();
  f.server_acks(f.client_nxt);
}

// `other`: what the other end has shown.
template <Role kSender>
void adopt(Rooms& rooms, Context& c, const Adoption::Shown& other, FrameSink& sink) {
  constexpr bool kClient = kSender == Role::kClient;
  const Segment& g = c.segment;
  const FlowIndex i = take_record(rooms, c, sink);
  if (i == kNoFlow) return pass_on(rooms, c);
  c.flow = i;
  FlowRecord& f = rooms.flows[i];
  const Timestamps timestamps = find_timestamps(g.options(), g.options_size());
  f.options = static_cast<std::uint8_t>(kFlowUntranslated | kFlowWatched | kFlowAdopted |
                                        (timestamps.present ? kFlowTimestamps : 0));
  f.opening_tsval = kClient ? timestamps.tsval : timestamps.tsecr;
  f.set_scales(kPresumedScale, kPresumedScale);
  f.set_link(rooms.frames.new_link(rooms.flows.key_of(i), kSender, link_header(g)), 0);
  f.last_seen = rooms.now.ms32();
  rooms.flows.set_look(f, kSender, look_of(g));
  rooms.flows.set_look(f, synproxy::other(kSender), look_of_answer(look_of(g)));
  rooms.flows.become_spliced(f, FlowState::kEstablished,
                             {.delta = 0, .ts_delta = 0, .window = 0, .mark_second = 0});
  write_numbers(f, kClient ? other.end : g.seq, kClient ? other.ack : g.ack,
                kClient ? g.ack : other.ack);
  widen_windows(f, kPresumedWindow, kPresumedWindow);
  mark_by_earlier_syn(rooms, c, f);
  if (other.fin) {
    if (kClient) f.set(kFlowServerFin);
    if (!kClient && g.ack == other.end) f.set(kFlowClientFin | kFlowClientFinAcked);
  }
  rooms.services.count(c.key(), Reason::conn_adopted);
  note<kSender>(rooms, f, c, g.seq);
  forward(rooms.counters, c, Reason::watched);
}

}  // namespace

void on_older_client(Rooms& rooms, Context& c, FrameSink& sink) {
  if (!c.segment.has(kAck)) return drop(rooms.counters, c, Reason::cookie_invalid);
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  if (quotes_our_syn_ack(rooms, c)) return drop(rooms.counters, c, Reason::cookie_invalid);
  Adoption::Shown other;
  switch (rooms.adoption.client(c.hash, shown_by(c.segment), rooms.now.ms32(), other)) {
    case Adoption::Verdict::kAdopt:
      return adopt<Role::kClient>(rooms, c, other, sink);
    case Adoption::Verdict::kShed:
      return shed(rooms, c);
    default:
      return pass_on(rooms, c);
  }
}

void on_older_client_reset(Rooms& rooms, Context& c) {
  rooms.adoption.client_reset(rooms.now.ms32()) ? pass_on(rooms, c) : shed(rooms, c);
}

void on_older_server(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  constexpr Reason kWhy = Reason::no_flow_server;
  if (g.has(kRst)) {
    if (resets_new_client(rooms, c)) return drop(rooms.counters, c, kWhy);
    return pass_on(rooms, c);
  }
  if (!g.has(kAck)) return drop(rooms.counters, c, kWhy);
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  Adoption::Shown client;
  switch (rooms.adoption.server(c.hash, shown_by(g), rooms.now.ms32(), client)) {
    case Adoption::Verdict::kAdopt:
      return adopt<Role::kServer>(rooms, c, client, sink);
    case Adoption::Verdict::kAsk:
      send_probe_on(rooms, c, g.seq_end() - 1, sink);
      return pass_on(rooms, c);
    case Adoption::Verdict::kReset:
      send_rst_on(rooms, c, client.ack, sink);
      rooms.services.count(c.key(), Reason::conn_contradicted);
      return answer_with_rst(rooms.counters, c, kWhy);
    default:
      return pass_on(rooms, c);
  }
}

}  // namespace synproxy
