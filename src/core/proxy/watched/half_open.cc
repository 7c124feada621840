// SPDX-License-Identifier: BSD-3-Clause
// From the server's SYN-ACK to the client's ACK.
#include "ack/prove_ack.h"
#include "flows/end_flow.h"
#include "handshake/admit.h"
#include "handshake/open_flow.h"
#include "handshake/splice.h"
#include "spliced/progress.h"
#include "spliced/unknown.h"
#include "synproxy/wire/tcp_options.h"
#include "time/eviction.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// What the handshake has shown is learned when the client has proven its address: a SYN may be
// forged, and then the answer shows what the attacker has asked for. Until then it waits in
// SplicedPart::ts_delta: the MSS below, 4 bits of scale from here on, and one bit each.
constexpr unsigned kShowsScale = 16;
constexpr std::uint32_t kShowsTimestamps = 1U << 20;
constexpr std::uint32_t kShowsSack = 1U << 21;
constexpr std::uint32_t kShowsEcn = 1U << 22;
constexpr std::uint32_t kAskedTimestamps = 1U << 23;
constexpr std::uint32_t kAskedSack = 1U << 24;
constexpr std::uint32_t kAskedEcn = 1U << 25;
constexpr std::uint32_t kAskedScale = 1U << 26;

constexpr std::uint32_t bit_if(bool set, std::uint32_t bit) { return set ? bit : 0; }

std::uint32_t shown_by(const Segment& syn_ack, const TcpOptions& o, const SynNotes::Note* asked) {
  std::uint32_t shown = o.mss | std::uint32_t{o.window_scale} << kShowsScale |
                        bit_if(o.timestamps, kShowsTimestamps) |
                        bit_if(o.sack_permitted, kShowsSack) |
                        bit_if(is_ecn_setup(syn_ack), kShowsEcn);
  // An option in the answer was asked for. Nothing else is known of a SYN that is forgotten.
  shown |= bit_if(o.window_scale != kNoScale, kAskedScale);
  if (asked == nullptr) return shown;
  return shown | bit_if(asked->timestamps, kAskedTimestamps) | bit_if(asked->sack, kAskedSack) |
         bit_if(asked->ecn, kAskedEcn) | bit_if(asked->scale != kNoScale, kAskedScale);
}

void learn_service(Rooms& rooms, const Context& c, const FlowRecord& f) {
  const std::uint32_t shown = f.spliced().ts_delta;
  const auto has = [shown](std::uint32_t bit) { return (shown & bit) != 0; };
  ServiceTable::Answer a;
  a.asked = {.timestamps = has(kAskedTimestamps), .sack = has(kAskedSack), .ecn = has(kAskedEcn)};
  a.scale_asked = has(kAskedScale);
  a.options.mss = static_cast<std::uint16_t>(shown);
  a.options.window_scale = static_cast<std::uint8_t>(shown >> kShowsScale & 15U);
  a.options.timestamps = has(kShowsTimestamps);
  a.options.sack_permitted = has(kShowsSack);
  a.ecn = has(kShowsEcn);
  a.window = f.spliced().window;
  a.ttl = rooms.flows.look(f, Role::kServer).ttl;
  static_cast<void>(rooms.answerer.services().learn(c.key(), rooms.now.epoch(), rooms.now.ms(), a));
}

// RFC 7323 section 2.2: windows are scaled if both SYNs say so. A client whose SYN is forgotten may
// have asked for any scale, so the largest bounds its windows.
void set_scales(FlowRecord& f, const TcpOptions& syn_ack, const SynNotes::Note* asked) {
  if (syn_ack.window_scale == kNoScale || (asked != nullptr && asked->scale == kNoScale)) return;
  f.options |= kFlowClientScales | kFlowServerScales;
  f.set_scales(asked != nullptr ? asked->scale : kMaxWindowScale, syn_ack.window_scale);
}

void make_half_open(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  const FlowIndex i = take_record(rooms, c, sink);
  if (i == kNoFlow) {
    const ServiceTuning& tuning = rooms.services.tuning(c.key());
    if (tuning.forwards_unknown()) return pass_unknown(rooms, c, tuning);
    return drop(rooms.counters, c, Reason::table_full);
  }
  c.flow = i;
  FlowRecord& f = rooms.flows[i];
  const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
  const SynNotes::Note* asked = rooms.watch.notes.answered(c.hash, g.ack, rooms.now.ms32());
  f.options = static_cast<std::uint8_t>(kFlowUntranslated | kFlowWatched |
                                        (o.timestamps ? kFlowTimestamps : 0));
  f.cookie = g.seq.value();
  f.server_nxt = g.seq_end().value();
  f.client_nxt = g.ack.value();
  f.client_isn = asked != nullptr ? asked->isn : f.client_nxt - 1;
  set_scales(f, o, asked);
  widen_windows(f, 0, g.window);
  f.set_link(rooms.frames.new_link(rooms.flows.key_of(i), Role::kServer, link_header(g)), 0);
  f.last_seen = rooms.now.ms32();
  rooms.flows.set_look(f, Role::kServer, look_of(g));
  rooms.flows.set_look(f, Role::kClient, look_of_answer(look_of(g)));
  rooms.flows.become_spliced(
      f, FlowState::kPassed,
      {.delta = 0, .ts_delta = shown_by(g, o, asked), .window = g.window, .mark_second = 0});
  settle_activation(rooms, c);
  forward(rooms.counters, c, Reason::watched);
}

// Whether a SYN-ACK is of an earlier conversation, while the flow is that of the last SYN that
// passed.
bool is_late(const Rooms& rooms, const Context& c, const FlowRecord& f) {
  const SynNotes& notes = rooms.watch.notes;
  const std::uint32_t now = rooms.now.ms32();
  return notes.answered(c.hash, SeqNum(f.client_isn) + 1, now) != nullptr &&
         notes.answered(c.hash, c.segment.ack, now) == nullptr;
}

// Whether a SYN-ACK begins a new connection in the place of the flow.
bool may_replace(const Rooms& rooms, const Context& c, const FlowRecord& f) {
  const SeqNum ack = c.segment.ack;
  if (f.watched() && is_late(rooms, c, f)) return false;
  switch (f.state()) {
    case FlowState::kSynSent:
      return false;
    case FlowState::kPassed:
      return f.watched();
    case FlowState::kEstablished:
      // The client begins anew, and the server has forgotten the old connection.
      return f.watched() || (f.opened_by_server() &&
                             rooms.watch.notes.answered(c.hash, ack, rooms.now.ms32()) != nullptr);
    default:
      // It may still answer the flow's own SYN, or that of a connection long before it.
      return !f.translated() ||
             (ack != SeqNum(f.client_isn + 1) &&
              rooms.watch.notes.answered(c.hash, ack, rooms.now.ms32()) != nullptr);
  }
}

// The time since the server's SYN-ACK passed, or its last repeat.
void measure(Rooms& rooms, const Context& c, FlowRecord& f) {
  const std::uint32_t now = rooms.now.ms32();
  const FlowKey key = rooms.flows.key_of(c.flow);
  const bool silent = f.server_nxt == f.cookie + 1;
  if (silent && rooms.felt.await_first_byte(f.cookie, now)) f.set(kFlowFirstByteDue);
  rooms.felt.accepted(key, now);
  rooms.felt.handshake(key, now - f.last_seen, 0, now);
}

// The client has acknowledged the server's SYN-ACK. From here on the flow is followed.
void follow(Rooms& rooms, const Context& c, FlowRecord& f) {
  const Segment& g = c.segment;
  learn_service(rooms, c, f);
  f.spliced().ts_delta = 0;
  f.opening_tsval = find_timestamps(g.options(), g.options_size()).tsval;
  rooms.flows.set_look(f, Role::kClient, look_of(g));
  rooms.frames.complete_link(f, Role::kClient, link_header(g));
  if (const Link* link = rooms.frames.link_of(f); link != nullptr) {
    const LinkHeader from_server = link->to_client;
    rooms.frames.learn_way(f, rooms.flows.key_of(c.flow), from_server);
    rooms.turns_answers = rooms.frames.turns_answers();
  }
  measure(rooms, c, f);
  f.start_acks();
  f.server_acks(f.client_nxt);  // the SYN-ACK may have acknowledged data
  rooms.flows.set_state(f, FlowState::kEstablished);
  rooms.services.count(c.key(), Reason::conn_watched);
  if (is_adaptive(rooms, c)) rooms.watch.activation.proven(c.service, rooms.now.ms());
}

void refuse(Rooms& rooms, Context& c, Admission refusal, FrameSink& sink) {
  const bool over = refusal == Admission::kOverRate || refusal == Admission::kOverConns;
  if (!over || rooms.services.tuning(c.key()).action != LimitAction::kReset) {
    return drop(rooms.counters, c, reason_of(refusal));
  }
  const FlowRecord& f = rooms.flows[c.flow];
  rooms.frames.send_rst(f, rooms.flows.key_of(c.flow), Role::kServer, sink);
  answer_with_rst(rooms.counters, c, reason_of(refusal), rooms.flows.look(f, Role::kServer));
  free_flow(rooms, c.flow);
  c.flow = kNoFlow;
}

// It acknowledges what the server has not sent, and may have been given a cookie instead. SYN-ACKs
// are remembered for seconds (synack_repeats.h) and cookies are good for longer, so their parity
// has to do.
bool may_quote_cookie(const Rooms& rooms, const FlowRecord& f, const Segment& g) {
  return g.has(kAck) && !g.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt)) &&
         rooms.now.may_be_ours(cookie_parity((g.ack - 1).value()));
}

// The client's number is the next one, or of data that comes before a lost ACK, or of a keepalive.
bool proves(const FlowRecord& f, const Segment& g) {
  constexpr std::uint32_t kOpeningWindow = 0x10000;  // no SYN-ACK shows a larger window
  return g.has(kAck) && g.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt)) &&
         g.seq + 1 - SeqNum(f.client_nxt) <= kOpeningWindow;
}

}  // namespace

bool on_watched_syn_ack(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  if (c.flow != kNoFlow) {
    FlowRecord& f = rooms.flows[c.flow];
    if (f.watched() && g.seq == SeqNum(f.cookie)) {
      if (f.state() == FlowState::kPassed) f.last_seen = rooms.now.ms32();
      forward(rooms.counters, c, Reason::watched);  // the server repeats it
      return true;
    }
    if (!may_replace(rooms, c, f)) return false;
  }
  if (!rooms.watch.expects_answers(rooms.now.ms32()) && !rooms.adopts) return false;
  if (!checksum_ok(c)) {
    drop(rooms.counters, c, Reason::bad_checksum);
    return true;
  }
  if (c.flow != kNoFlow) free_flow(rooms, c.flow);
  make_half_open(rooms, c, sink);
  return true;
}

void on_client_half_open(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  if (g.has(kSyn)) return drop(rooms.counters, c, Reason::syn_ack_client);
  if (g.has(kRst)) {
    // RFC 9293 section 3.10.7.4, RFC 5961 section 3.2: at this number the server gives up.
    if (g.seq == SeqNum(f.client_nxt) && checksum_ok(c)) {
      rooms.services.count(c.key(), Reason::conn_reset);
      free_flow(rooms, c.flow);
    }
    return forward(rooms.counters, c, Reason::watched);
  }
  if (!proves(f, g)) {
    // Before cookies ended, its SYN may have been answered with one.
    if (const CookieMatch m = match_cookie(rooms.now, rooms.answerer, c); g.has(kAck) && m.valid) {
      return open_proven(rooms, c, m, sink);
    }
    // If it is ahead of its own handshake ACK, the server's RST would end its connection.
    if (may_quote_cookie(rooms, f, g)) return drop(rooms.counters, c, Reason::cookie_invalid);
    return forward(rooms.counters, c, Reason::watched);
  }
  SourceLimits::Charge charge;
  const Admission verdict = admit_watched(rooms, c, charge);
  if (verdict != Admission::kAdmitted) return refuse(rooms, c, verdict, sink);
  follow(rooms, c, f);
  if (rooms.limiter.on()) rooms.limiter.keep(c.flow, charge);
  note<Role::kClient>(rooms, f, c, g.seq);
  forward(rooms.counters, c, Reason::watched);
}

void on_server_half_open(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  if (g.has(kSyn) && on_watched_syn_ack(rooms, c, sink)) return;
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  if (g.has(kRst)) {
    // RFC 5961 section 3.2. Any other RST is of an earlier connection, or answers segments of one.
    if (g.seq == SeqNum(f.server_nxt)) {
      rooms.services.count(c.key(), Reason::conn_reset);
      free_flow(rooms, c.flow);
    }
  } else if (g.seq == SeqNum(f.server_nxt)) {
    // After a SYN with data (RFC 7413) the server may send before the client's ACK.
    f.server_nxt = g.seq_end().value();
    if (g.has(kFin)) f.set(kFlowServerFin);
  }
  forward(rooms.counters, c, Reason::watched);
}

}  // namespace synproxy
