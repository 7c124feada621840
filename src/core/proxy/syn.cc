// SPDX-License-Identifier: BSD-3-Clause
// SYN of a client: answered without state, in its own buffer.
#include <algorithm>

#include "engine_state.h"

namespace synproxy {
namespace {

// RFC 9293 section 3.7.1: what a missing MSS option means.
std::uint16_t default_mss(bool ipv6) { return ipv6 ? 1220 : 536; }

// RFC 3168 section 6.1.1 for an ECN-setup SYN. One that asks for AccECN (AE, CWR and ECE, RFC 9768
// section 3.1.2) falls back to that when it is answered with ECE alone.
bool asks_for_ecn(const Segment& g) { return (g.flags & (kEce | kCwr)) == (kEce | kCwr); }

std::uint16_t mss_to_offer(const OfferConfig& offer, bool ipv6) {
  if (offer.mss != 0) return offer.mss;
  return ipv6 ? 1440 : 1460;
}

// A live flow remembers the ISN of a SYN that came on it, one SYN a second, whatever became of the
// mark before: a flood of SYNs with the flow's own addresses can neither push out the real one all
// the time nor buy more tries than a mark has.
void mark(EngineState& s, FlowRecord& f, SeqNum isn, bool timestamps) {
  if (isn.value() == f.client_isn) return;
  const std::uint16_t second = mark_second(s.now_ms, timestamps);
  if (f.state != FlowState::kSynSent) {  // there FlowRecord::mss is still needed
    if (f.mss >> 1 == second >> 1) return;
    f.mss = second;
    f.tries &= 0xf0U;
  }
  f.mark_isn = isn.value();
  f.progress = static_cast<std::uint8_t>((f.progress | kFlowMarked) & ~kFlowAgeKnown);
}

}  // namespace

ClientOptions agree(const EngineState& s, const Context& c) {
  const OfferConfig& offer = s.config.offer;
  ClientOptions out;
  out.timestamps = c.options.timestamps && offer.timestamps != Offer::kOff;
  out.mss = c.options.mss != 0 ? c.options.mss : default_mss(c.segment.ipv6);
  out.wscale = c.options.window_scale;
  out.sack = c.options.sack_permitted && offer.sack != Offer::kOff;
  out.ecn = out.timestamps && offer.ecn != Offer::kOff && asks_for_ecn(c.segment);
  return out;
}

void on_client_syn(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
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
  r.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(s.config.early_window, 0xffff));
  r.mss = mss_to_offer(s.config.offer, g.ipv6);
  if (c.agreed.wscale != kNoScale) r.window_scale = scale_to_offer(s.config.offer);
  r.sack_permitted = c.agreed.sack;
  r.timestamps = c.agreed.timestamps;
  r.tsval = cookie.tsval;
  r.tsecr = c.options.tsval;
  if (!reply_in_place(*c.packet, g, r)) return drop(s, c, Reason::no_buffer_room);
  c.packet->verdict = Verdict::kReply;
  s.counters.count(Reason::synack_sent);
}

}  // namespace synproxy
