// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/outbound.h"

#include "ack/prove_ack.h"
#include "flows/end_flow.h"
#include "handshake/open_flow.h"
#include "spliced/progress.h"
#include "synproxy/wire/tcp_options.h"
#include "time/eviction.h"

namespace synproxy {
namespace {

// What the SYN showed is learned when the peer answers it: a SYN alone may have a forged source.
// Until then it waits in SplicedPart::ts_delta.
constexpr unsigned kShowsScale = 16;  // the MSS stands below, 4 bits of scale from here on
constexpr std::uint32_t kShowsTimestamps = 1U << 20;
constexpr std::uint32_t kShowsSack = 1U << 21;
constexpr std::uint32_t kShowsEcn = 1U << 22;

std::uint32_t shown_by(const Segment& syn, const TcpOptions& o) {
  const bool ecn = (syn.flags & (kEce | kCwr)) == (kEce | kCwr);
  return o.mss | std::uint32_t{o.window_scale} << kShowsScale |
         (o.timestamps ? kShowsTimestamps : 0) | (o.sack_permitted ? kShowsSack : 0) |
         (ecn ? kShowsEcn : 0);
}

void learn_host(Rooms& rooms, const Context& c, std::uint32_t shown) {
  TcpOptions o;
  o.mss = static_cast<std::uint16_t>(shown);
  o.window_scale = shown >> kShowsScale & 15U;
  o.timestamps = (shown & kShowsTimestamps) != 0;
  o.sack_permitted = (shown & kShowsSack) != 0;
  rooms.answerer.services().learn_host(c.key(), rooms.now.epoch(), rooms.now.ms(), o,
                                       (shown & kShowsEcn) != 0);
}

void learn_server_scale(FlowRecord& f, const TcpOptions& syn) {
  if (syn.window_scale == kNoScale) return;
  f.options |= kFlowServerScales;
  f.set_scales(f.client_scale(), syn.window_scale);
}
void learn_client_scale(FlowRecord& f, const TcpOptions& syn) {
  const bool scales = syn.window_scale != kNoScale;
  f.options = static_cast<std::uint8_t>(scales ? f.options | kFlowClientScales
                                               : f.options & ~kFlowClientScales);
  f.set_scales(scales ? syn.window_scale : 0, f.server_scale());
}
// RFC 7323 section 2.2: windows are scaled if both SYNs say so.
void settle_scales(FlowRecord& f) {
  constexpr std::uint8_t kBoth = kFlowClientScales | kFlowServerScales;
  if ((f.options & kBoth) == kBoth) return;
  f.options &= static_cast<std::uint8_t>(~kBoth);
  f.set_scales(0, 0);
}

// The peer's SYN. Its window is never scaled.
void note_peer_syn(FlowRecord& f, const Segment& g) {
  f.client_isn = g.seq.value();
  f.client_nxt = g.seq_end().value();
  learn_client_scale(f, parse_tcp_options(g.options(), g.options_size()));
  widen_windows(f, g.window, 0);
}

// The peer has acknowledged the server's SYN. From here on the flow is followed like any other.
void follow(Rooms& rooms, const Context& c, FlowRecord& f) {
  if (f.state() == FlowState::kPassed) {
    learn_host(rooms, c, f.spliced().ts_delta);
    f.spliced().ts_delta = 0;
  }
  settle_scales(f);
  rooms.flows.set_look(f, Role::kClient, look_of(c.segment));
  rooms.frames.complete_link(f, Role::kClient, link_header(c.segment));
  f.start_acks();
  f.client_acks(c.segment.ack.value());
  f.last_seen = rooms.now.ms32();
  rooms.flows.set_state(f, FlowState::kEstablished);
}

bool acks_server_syn(const FlowRecord& f, const Segment& g) {
  return g.has(kAck) && g.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt));
}

// A later SYN of the server on its own live connection. If the server has forgotten that one, the
// peer answers the new SYN sooner or later; a forged SYN gets no SYN-ACK (RFC 5961 section 4).
void note_later_syn(FlowRecord& f, const Segment& g) {
  f.options |= kFlowOpensAnew;
  f.mark_isn = g.seq.value();
  f.clear(kFlowMarked);
}

}  // namespace

void on_server_syn(Rooms& rooms, Context& c, FrameSink& sink) {
  // A damaged frame may be a SYN-ACK that has lost its ACK flag.
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  const Segment& g = c.segment;
  const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
  if (c.flow != kNoFlow) {
    FlowRecord& old = rooms.flows[c.flow];
    const bool own = old.opened_by_server();
    if (own && !is_over(old) && old.cookie == g.seq.value()) {
      old.last_seen = rooms.now.ms32();
      if (old.state() == FlowState::kPassed) learn_server_scale(old, o);
      return forward(rooms.counters, c, Reason::passed);
    }
    if (own && old.state() == FlowState::kEstablished) {
      note_later_syn(old, g);
      return forward(rooms.counters, c, Reason::passed);
    }
    // Otherwise the server has forgotten its old connection. It may not take over a client's live
    // connection.
    if (!own && !is_over(old) && old.state() != FlowState::kTombstone) {
      // Both ends open at the same time. The server answers our SYN from this very connection.
      if (old.state() == FlowState::kSynSent) old.set(kFlowServerOpens);
      return drop(rooms.counters, c, Reason::no_flow_server);
    }
    free_flow(rooms, c.flow);
  }
  const FlowIndex i = take_record(rooms, c, sink);
  if (i == kNoFlow) return drop(rooms.counters, c, Reason::table_full);
  FlowRecord& f = rooms.flows[i];
  f.options = kFlowUntranslated;
  f.cookie = g.seq.value();
  f.set_link(rooms.frames.new_link(rooms.flows.key_of(i), Role::kServer, link_header(g)), 0);
  f.server_nxt = g.seq_end().value();
  learn_server_scale(f, o);
  widen_windows(f, 0, g.window);
  f.last_seen = rooms.now.ms32();
  rooms.flows.set_look(f, Role::kServer, look_of(g));
  rooms.flows.set_look(f, Role::kClient, look_of_answer(look_of(g)));
  rooms.flows.become_spliced(
      f, FlowState::kPassed,
      {.delta = 0, .ts_delta = shown_by(g, o), .window = 0, .mark_second = 0});
  rooms.counters.count(Reason::conn_passed);
  forward(rooms.counters, c, Reason::passed);
}

void on_syn_to_outbound(Rooms& rooms, Context& c) {
  FlowRecord& f = rooms.flows[c.flow];
  f.last_seen = rooms.now.ms32();
  note_peer_syn(f, c.segment);
  forward(rooms.counters, c, Reason::passed);
}

void on_answer_to_outbound(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  f.last_seen = rooms.now.ms32();
  const bool answers = !g.has(kRst) && acks_server_syn(f, g);
  if (answers && g.has(kSyn)) {
    // It may acknowledge all of the SYN's data or a part.
    note_peer_syn(f, g);
    follow(rooms, c, f);
  } else if (answers && f.client_nxt != 0 && g.seq == SeqNum(f.client_nxt)) {
    follow(rooms, c, f);  // both opened at the same time
  } else if (g.has(kAck) && !g.has(kSyn) && !g.has(kRst)) {
    // The client's SYN came before the server's and was answered with a cookie.
    if (const CookieMatch m = match_cookie(rooms.now, rooms.answerer, c); m.valid) {
      return open_proven(rooms, c, m, sink);
    }
  }
  forward(rooms.counters, c, Reason::passed);
}

void on_syn_ack_to_outbound(Rooms& rooms, Context& c) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  constexpr std::uint32_t kMostDataOnASyn = 0x4000;
  const bool anew = (f.options & kFlowOpensAnew) != 0 && g.has(kAck) &&
                    g.ack - SeqNum(f.mark_isn + 1) <= kMostDataOnASyn && checksum_ok(c);
  if (anew) {
    const std::uint16_t bits = f.progress & ~kFlowStateMask;
    f.clear(bits);
    f.options &= static_cast<std::uint8_t>(~kFlowOpensAnew);
    f.cookie = f.mark_isn;
    f.server_nxt = g.ack.value();
    note_peer_syn(f, g);
    if ((f.options & kFlowServerScales) == 0) {
      // The old connection did not scale. The new one may, and the server's SYN has passed.
      f.options |= kFlowServerScales;
      f.set_scales(f.client_scale(), kMaxWindowScale);
    }
    follow(rooms, c, f);
    // One connection ends and another begins in the same record.
    rooms.counters.count(Reason::flow_freed);
    rooms.counters.count(Reason::conn_passed);
  }
  // Otherwise the peer repeats its SYN-ACK.
  forward(rooms.counters, c, Reason::passed);
}

}  // namespace synproxy
