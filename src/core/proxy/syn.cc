// SPDX-License-Identifier: BSD-3-Clause
// SYN of a client: answered without state, in its own buffer.
#include <algorithm>

#include "engine_state.h"

namespace synproxy {
namespace {

// RFC 3168 section 6.1.1 for an ECN-setup SYN. One that asks for AccECN (AE, CWR and ECE, RFC 9768
// section 3.1.2) falls back to that when it is answered with ECE alone.
bool asks_for_ecn(const Segment& g) { return (g.flags & (kEce | kCwr)) == (kEce | kCwr); }

bool offers(Offer flag, bool server_can) {
  return flag == Offer::kOn || (flag == Offer::kAuto && server_can);
}

std::uint16_t mss_to_offer(const OfferConfig& offer, std::uint16_t learned, bool ipv6) {
  if (offer.mss != 0) return offer.mss;
  if (learned != 0) return learned;
  return ipv6 ? 1440 : 1460;
}

// No more than the server is known to take, but a segment of the smallest kind: a client must not
// be kept waiting for a window update because a server was busy once.
std::uint16_t window_to_offer(const EngineState& s, const ServiceOffer& service) {
  const std::uint32_t server = std::max<std::uint32_t>(service.window, kSmallestSegment);
  return static_cast<std::uint16_t>(std::min(s.config.early_window, server));
}

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

void remember(EngineState& s, const Context& c, const TcpReply& syn_ack) {
  SynAckRepeats::Entry* e = s.synack_repeats.admit(s.now32());
  if (e == nullptr) return;
  e->key = c.key;
  e->syn_ack = syn_ack;
  e->link.set({c.segment.frame, c.segment.l3_offset});
}

}  // namespace

ClientOptions agree(const EngineState& s, const Context& c) {
  const OfferConfig& offer = s.config.offer;
  ClientOptions out;
  const Abilities& can = c.service.can;
  out.timestamps = c.options.timestamps && offers(offer.timestamps, can.timestamps);
  out.mss = c.options.mss != 0 ? c.options.mss : default_mss(c.segment.ipv6);
  out.wscale = c.options.window_scale;
  if (out.wscale != kNoScale) {
    out.offered_scale =
        offer.window_scale != kAutoScale ? offer.window_scale : c.service.window_scale;
  }
  out.sack = c.options.sack_permitted && offers(offer.sack, can.sack);
  out.ecn = out.timestamps && offers(offer.ecn, can.ecn) && asks_for_ecn(c.segment);
  return out;
}

void on_client_syn(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  if (c.options.auth) return drop(s, c, Reason::tcp_auth);
  if (c.keys == nullptr || c.macs == 0) return drop(s, c, Reason::no_secret);
  if (mss_too_small(c.agreed)) return drop(s, c, Reason::syn_mss_small);
  s.counters.count(Reason::syn_received);
  if (c.flow != kNoFlow) {
    FlowRecord& f = s.table[c.flow];
    if (f.state == FlowState::kPassed) return forward(s, c, Reason::passed);  // simultaneous open
    mark(s, f, g.seq, c.agreed.timestamps);
  }
  const LayoutKey& key = c.agreed.timestamps ? c.keys->timestamps : c.keys->plain;
  const Cookie cookie = make_cookie(c.mac[0], key, c.keys->epoch & 1U, c.agreed);
  TcpReply r;
  r.seq = SeqNum(cookie.isn);
  r.ack = g.seq + 1;
  r.flags = static_cast<std::uint16_t>(kSyn | kAck | (c.agreed.ecn ? kEce : 0));
  r.window = window_to_offer(s, c.service);
  r.mss = mss_to_offer(s.config.offer, c.service.mss, g.ipv6);
  r.window_scale = c.agreed.offered_scale;
  r.sack_permitted = c.agreed.sack;
  r.timestamps = c.agreed.timestamps;
  r.tsval = cookie.tsval;
  r.tsecr = c.options.tsval;
  remember(s, c, r);
  if (!reply_in_place(*c.packet, g, r)) return drop(s, c, Reason::no_buffer_room);
  c.packet->verdict = Verdict::kReply;
  s.counters.count(Reason::synack_sent);
}

}  // namespace synproxy
