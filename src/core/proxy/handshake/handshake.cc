// SPDX-License-Identifier: BSD-3-Clause
// From a valid cookie to the splice: our SYN to the server and its answers.
#include <algorithm>

#include "ack/cookies.h"
#include "burst/engine_state.h"
#include "synproxy/proxy/translate.h"

namespace synproxy {
namespace {

// How long a SYN-ACK that was answered with a RST may still come as a copy.
constexpr std::uint32_t kCopiesMs = 1000;

std::uint16_t opening_window(const FlowRecord& f, bool scaled_for_server) {
  if ((f.options & kFlowClientScales) == 0 || scaled_for_server) return f.window;
  return window_unscaled(f.window, client_scale(f));
}

bool replayed(const EngineState& s, const CookieMatch& m, const Context& c) {
  return s.replay.contains(epoch_of(s.epoch, cookie_parity((c.segment.ack - 1).value())), m.mac);
}

// What is left to `auto`, and so has to be learned.
Abilities wanted(const OfferConfig& offer) {
  return {.timestamps = offer.timestamps == Offer::kAuto,
          .sack = offer.sack == Offer::kAuto,
          .ecn = offer.ecn == Offer::kAuto};
}

// RFC 3168 section 6.1.1: an ECN-setup SYN-ACK has ECE without CWR.
bool is_ecn_setup(const Segment& syn_ack) { return (syn_ack.flags & (kEce | kCwr)) == kEce; }

Abilities promised(const FlowRecord& f) {
  return {.timestamps = (f.options & kFlowTimestamps) != 0,
          .sack = (f.options & kFlowSack) != 0,
          .ecn = (f.options & kFlowEcn) != 0};
}

// Learns what the service can do. True when the server has taken up more than the client was
// promised.
bool learn_service(EngineState& s, const Context& c, const FlowRecord& f, const TcpOptions& o) {
  const Abilities client = promised(f);
  ServiceTable::Answer a;
  a.probe = (f.progress & kFlowAskedMore) != 0 && s.earlier.same_offer_since(f.last_seen, s.now_ms);
  const Abilities extra = a.probe ? wanted(s.tuning.offer) : Abilities{};
  a.asked = {.timestamps = client.timestamps || extra.timestamps,
             .sack = client.sack || extra.sack,
             .ecn = client.ecn || extra.ecn};
  a.scale_asked = (f.options & kFlowClientScales) != 0;
  a.options = o;
  a.ecn = is_ecn_setup(c.segment);
  a.window = c.segment.window;
  s.services.learn(c.key(), s.epoch.epoch, s.now_ms, a);
  return !client.covers({.timestamps = o.timestamps, .sack = o.sack_permitted, .ecn = a.ecn});
}

// Everything that hangs on the options of the server's SYN-ACK. False: timestamps were promised to
// the client and cannot be kept.
bool keep_promises(EngineState& s, FlowRecord& f, const Segment& g, const TcpOptions& o) {
  if ((f.options & kFlowTimestamps) != 0 && !o.timestamps) return false;
  if ((f.options & kFlowClientScales) != 0 && o.window_scale != kNoScale) {
    f.options |= kFlowServerScales;
    f.scales = static_cast<std::uint8_t>((f.scales & 0xfU) | unsigned{o.window_scale} << 4);
  }
  if ((f.options & kFlowSack) != 0 && !o.sack_permitted) {
    f.options |= kFlowServerNoSack;
    s.counters.count(Reason::server_no_sack);
  }
  if ((f.options & kFlowEcn) != 0 && !is_ecn_setup(g)) {
    f.options |= kFlowServerNoEcn;
    s.counters.count(Reason::server_no_ecn);
  }
  return true;
}

// Sends the held segments, no more than the server's window of `budget` bytes takes; the client
// resends the rest. Returns how many were sent.
unsigned release_early(EngineState& s, FlowRecord& f, EarlyStore::Handle head, std::uint32_t budget,
                       FrameSink& sink) {
  unsigned sent = 0;
  SeqNum next(f.client_isn + 1);
  f.progress &=
      static_cast<std::uint8_t>(~kFlowClientFin);  // a held one counts when it is released
  for (; head != EarlyStore::kNone; head = s.early.pop(head)) {
    const std::size_t length = s.early.read(head, s.scratch);
    Segment g;
    parse_frame(s.scratch.data(), length, g);
    if (g.result != ParseResult::kTcp || g.payload_length > budget) break;
    const bool ect_clear = (f.options & kFlowServerNoEcn) == 0 || clear_ect(g);
    if (!ect_clear) break;
    budget -= g.payload_length;
    if (!translate_to_server(g, f)) s.counters.count(Reason::bad_options);
    if (g.has(kFin)) f.progress |= kFlowClientFin;
    next = g.seq_end();
    sink.emit(Role::kServer, {s.scratch.data(), length});
    s.counters.count(Reason::early_released);
    ++sent;
  }
  s.early.free_all(head);
  f.client_nxt = next.value();
  return sent;
}

// Our SYN for the first time. With `hide_rtt` twice, back to back: a server that has sent its
// SYN-ACK again cannot say which one our ACK answers, and takes no sample (Karn's algorithm, RFC
// 6298 section 3). The first one would be the round trip between proxy and server.
void ask_server(EngineState& s, FlowIndex i, bool ask_more, FrameSink& sink) {
  send_syn(s, i, ask_more, sink);
  if (s.tuning.hide_rtt && !ask_more) send_syn(s, i, false, sink);
}

// Resets the connection that the server believes in, in answer to the packet at hand, and asks
// again: at once the first time and by the timer then. Late segments may look the same, and a
// server that ignores our RST would be asked at the speed of the wire.
void ask_again(EngineState& s, Context& c, FlowRecord& f, FrameSink& sink) {
  TcpReply rst;
  rst.seq = c.segment.ack;
  rst.flags = kRst;
  answer(s, c, rst, Reason::consumed, Reason::rst_to_server);
  if ((f.progress & kFlowProbed) != 0) return;
  f.progress |= kFlowProbed;
  ask_server(s, c.flow, false, sink);
  s.counters.count(Reason::syn_to_server_retrans);
}

void splice(EngineState& s, Context& c, FlowRecord& f, const TcpOptions& o, FrameSink& sink) {
  const Segment& g = c.segment;
  if (!keep_promises(s, f, g, o)) {
    s.counters.count(Reason::server_no_timestamps);
    drop(s, c, Reason::consumed);
    return give_up(s, c.flow, true, true, sink);
  }
  const EarlyStore::Handle early = f.delta;
  const std::uint32_t our_tsval = f.ts_delta;
  f.delta = g.seq.value() - f.cookie;
  f.ts_delta = (f.options & kFlowTimestamps) != 0 ? o.tsval - our_tsval : 0;
  f.last_seen = s.now32();
  // A mark stays: the client may have begun anew while the server was silent. Without one there was
  // none this second.
  const bool marked = (f.progress & kFlowMarked) != 0;
  f.mss = static_cast<std::uint16_t>(mark_second(s.now_ms, f.windows != 0) - (marked ? 0U : 2U));
  f.windows = 0;
  f.progress &= static_cast<std::uint8_t>(~(kFlowProbed | kFlowAskedMore | kFlowHasProbed));
  f.tries &= 0xf0U;
  set_state(s, f, FlowState::kEstablished);
  widen_windows(f, std::uint32_t{f.window} << client_scale(f), g.window);
  s.counters.count(Reason::conn_established);

  answer(s, c, handshake_ack(s, f, o.tsval), Reason::consumed, Reason::ack_to_server);

  if (release_early(s, f, early, g.window, sink) != 0) {
    f.progress |= kFlowSpoke;
  } else {
    s.ack_repeats.push({c.flow, f.cookie, o.tsval, s.now32() + kFirstRetryMs});
  }
  if (s.earlier.least_window(s.tuning, s.epoch.epoch) < kSmallestSegment) {
    TcpReply update;
    update.seq = SeqNum(f.cookie + 1);
    update.ack = SeqNum(f.client_isn + 1);
    update.flags = kAck;
    update.window = window_to_client(g.window, 0, offered_scale(f));  // a SYN-ACK's is never scaled
    update.timestamps = (f.options & kFlowTimestamps) != 0;
    update.tsval = our_tsval;
    update.tsecr = f.opening_tsval;
    send_to(s, f, s.table.key_of(c.flow), Role::kClient, update, sink);
    s.counters.count(Reason::window_update);
  }
}

}  // namespace

CookieMatch match_cookie_of(EngineState& s, const Context& c, std::uint32_t client_isn) {
  const Segment& g = c.segment;
  const Cookie quoted{(g.ack - 1).value(), 0};
  const EpochKeys* keys = s.keys.for_parity(cookie_parity(quoted.isn));
  if (keys == nullptr) return {};
  const Timestamps ts = find_timestamps(g.options(), g.options_size());
  const LayoutKey& key = key_of_layout(*keys, ts.present);
  const MacInput in = cookie_mac_input(c.key(), client_isn);
  CookieMatch m;
  m.mac = cover_vlan(siphash24(key.k0, key.k1, in.words.data(), in.count), key, g.vlan);
  m.client_isn = client_isn;
  m.valid =
      check_cookie(m.mac, key, {quoted.isn, ts.tsecr}, ts.present, scales_offered(s, c), m.options);
  return m;
}

CookieMatch match_cookie(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  CookieMatch m;
  if (c.ack.macs == 0) {
    m = match_cookie_of(s, c, (g.seq - 1).value());
    if (!m.valid && g.payload_length <= 1) m = match_cookie_of(s, c, g.seq.value());
    return m;
  }
  for (unsigned i = 0; i < c.ack.macs && !m.valid; ++i) m = match_mac(c, i);
  return m;
}

void on_client_ack_without_flow(EngineState& s, Context& c, FrameSink& sink) {
  const CookieMatch m = match_cookie(s, c);
  if (!m.valid) return drop(s, c, Reason::cookie_invalid);
  if (replayed(s, m, c)) {
    // Whoever sends data believes in this connection; should the filter be wrong, it can try again.
    if (c.segment.payload_length == 0) return drop(s, c, Reason::cookie_replayed);
    return answer_with_rst(s, c, Role::kClient, Reason::cookie_replayed);
  }
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  s.counters.count(Reason::cookie_valid);
  open_flow(s, c, m, sink);
}

void open_flow(EngineState& s, Context& c, const CookieMatch& m, FrameSink& sink) {
  const Segment& g = c.segment;
  const FlowIndex i = make_room(s, sink) ? insert_flow(s, c) : kNoFlow;
  if (i == kNoFlow) return answer_with_rst(s, c, Role::kClient, Reason::table_full);
  const bool has_ts = m.options.timestamps;
  const Timestamps ts = has_ts ? find_timestamps(g.options(), g.options_size()) : Timestamps{};
  FlowRecord& f = s.table[i];
  f.delta = EarlyStore::kNone;
  f.ts_delta = ts.tsecr;  // our TSval, which the client echoes
  f.client_isn = m.client_isn;
  f.cookie = (g.ack - 1).value();
  f.client_nxt = m.client_isn + 1;
  f.server_nxt = g.ack.value();
  f.opening_tsval = ts.tsval;
  f.last_seen = s.now32();
  f.mark_isn = s.now32();
  f.progress = kFlowAgeKnown;
  f.link = s.links.intern({g.frame, g.l3_offset});
  f.mss = m.options.mss;
  f.window = g.window;
  f.options =
      static_cast<std::uint8_t>((has_ts ? kFlowTimestamps : 0) | (m.options.sack ? kFlowSack : 0) |
                                (m.options.ecn ? kFlowEcn : 0));
  if (m.options.wscale != kNoScale) {
    f.options |= kFlowClientScales;
    f.scales = m.options.wscale;
    f.tries = static_cast<std::uint8_t>(m.options.offered_scale << 4);
  }
  set_state(s, f, FlowState::kSynSent);
  c.flow = i;
  // A probe's byte lies before the first one; anything else may be the first data.
  const bool early = g.seq == SeqNum(f.client_nxt) && g.seq_length() != 0;
  if (early) {
    drop(s, c, hold(s, c, f) ? Reason::early_held : Reason::early_dropped);
  } else {
    drop(s, c, Reason::consumed);
  }
  ask_server(s, i, s.services.probe_due(c.key(), wanted(s.tuning.offer), s.now_ms), sink);
  s.syn_retries[0].push({i, f.cookie, 0, s.now32() + kFirstRetryMs});
}

void reopen_flow(EngineState& s, Context& c, const CookieMatch& m, FrameSink& sink) {
  if (replayed(s, m, c)) return drop(s, c, Reason::cookie_replayed);
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  FlowRecord& f = s.table[c.flow];
  s.counters.count(Reason::cookie_valid);
  s.counters.count(Reason::conn_reopened);
  const bool live = f.state == FlowState::kSynSent || f.state == FlowState::kEstablished;
  if (live) send_rst(s, c.flow, Role::kServer, sink);
  free_flow(s, c.flow);
  open_flow(s, c, m, sink);
}

bool hold(EngineState& s, Context& c, FlowRecord& f) {
  const Segment& g = c.segment;
  const std::uint32_t end = g.seq + g.payload_length - SeqNum(f.client_isn + 1);
  if (g.seq != SeqNum(f.client_nxt) ||
      end > std::min(s.earlier.most_window(s.tuning, s.epoch.epoch), 0xffffU)) {
    return false;
  }
  // A FIN ends it: nothing may follow.
  if ((f.progress & kFlowClientFin) != 0) return false;
  const std::size_t length = std::size_t{g.l4_offset} + g.l4_length;  // padding is not kept
  const EarlyStore::Handle head = s.early.append(f.delta, {g.frame, length});
  if (head == EarlyStore::kNone) return false;
  f.delta = head;
  f.client_nxt = g.seq_end().value();
  if (g.has(kFin)) f.progress |= kFlowClientFin;
  return true;
}

void on_server_segment_in_syn_sent(EngineState& s, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = s.table[c.flow];
  // RFC 9293 section 3.10.7.3, in its order: ACK, RST, SYN.
  const bool acks_our_syn = g.has(kAck) && g.ack == SeqNum(f.client_isn + 1);
  if (g.has(kRst)) {
    if (!acks_our_syn) return drop(s, c, Reason::server_rst_ignored);
    if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
    s.counters.count(Reason::conn_refused);
    drop(s, c, Reason::consumed);
    return give_up(s, c.flow, true, false, sink);
  }
  if (!g.has(kAck)) return drop(s, c, Reason::no_flow_server);
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  if (acks_our_syn && g.has(kSyn)) {
    const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
    const bool more = learn_service(s, c, f, o);
    // A server that grants what nobody asked for would do so again: its extras are ignored.
    if (!more || (f.progress & kFlowHasProbed) == 0) return splice(s, c, f, o, sink);
    s.counters.count(Reason::server_shows_more);
    // A copy of what has been answered: by now the server may be in the handshake of our second
    // SYN, and a RST with this number would end that. Later it is no copy: our RST was lost.
    if ((f.progress & kFlowProbed) != 0 && s.now32() - f.last_seen < kCopiesMs) {
      return drop(s, c, Reason::consumed);
    }
    return ask_again(s, c, f, sink);
  }
  // Fifth step: a good ACK without SYN is dropped. A server in SYN-RECEIVED sends it to a late
  // segment of an older connection; a RST with this number would kill the one that is being made.
  if (acks_our_syn) return drop(s, c, Reason::no_flow_server);
  // A challenge ACK of a connection that the server still has (RFC 5961 section 4): to be reset as
  // a TCP client does.
  s.counters.count(Reason::challenge_ack);
  ask_again(s, c, f, sink);
}

void send_syn(EngineState& s, FlowIndex i, bool ask_more, FrameSink& sink) {
  FlowRecord& f = s.table[i];
  const Abilities extra = ask_more ? wanted(s.tuning.offer) : Abilities{};
  f.progress = static_cast<std::uint8_t>((f.progress & ~kFlowAskedMore) |
                                         (ask_more ? kFlowAskedMore | kFlowHasProbed : 0));
  const bool ecn = (f.options & kFlowEcn) != 0 || extra.ecn;
  TcpReply r;
  r.seq = SeqNum(f.client_isn);
  r.flags = static_cast<std::uint16_t>(kSyn | (ecn ? kEce | kCwr : 0));
  r.window = opening_window(f, false);
  r.mss = f.mss;
  if ((f.options & kFlowClientScales) != 0) {
    r.window_scale = static_cast<std::uint8_t>(client_scale(f));
  }
  r.sack_permitted = (f.options & kFlowSack) != 0 || extra.sack;
  r.timestamps = (f.options & kFlowTimestamps) != 0 || extra.timestamps;
  // Without the client's timestamps nothing will ever compare ours: any will do.
  r.tsval = (f.options & kFlowTimestamps) != 0 ? f.opening_tsval : s.now32();
  send_to(s, f, s.table.key_of(i), Role::kServer, r, sink);
  s.counters.count(Reason::syn_to_server);
}

TcpReply handshake_ack(const EngineState& s, const FlowRecord& f, std::uint32_t tsecr) {
  TcpReply r;
  r.seq = SeqNum(f.client_isn + 1);
  r.ack = SeqNum(f.cookie + f.delta + 1);
  r.flags = kAck;
  r.window = opening_window(f, (f.options & kFlowServerScales) != 0);
  r.timestamps = (f.options & kFlowTimestamps) != 0;
  r.tsval = f.opening_tsval;
  // An echo would be a sample again (RFC 7323 section 4.1). 0 is the echo of one who has none.
  r.tsecr = s.tuning.hide_rtt ? 0 : tsecr;
  return r;
}

void send_ack(EngineState& s, FlowIndex i, std::uint32_t tsecr, FrameSink& sink) {
  const FlowRecord& f = s.table[i];
  send_to(s, f, s.table.key_of(i), Role::kServer, handshake_ack(s, f, tsecr), sink);
  s.counters.count(Reason::ack_to_server);
}

}  // namespace synproxy
