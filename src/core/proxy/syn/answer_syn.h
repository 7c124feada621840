// SPDX-License-Identifier: BSD-3-Clause
// The stateless answer to a SYN, in the two halves between which its MAC is computed. Inline: this
// is what a flood pays for.
#pragma once

#include "burst/verdicts.h"
#include "frames/tcp_writer.h"
#include "syn/answerer.h"

namespace synproxy {

// RFC 3168 section 6.1.1 for an ECN-setup SYN. One that asks for AccECN (AE, CWR and ECE, RFC 9768
// section 3.1.2) falls back to that when it is answered with ECE alone.
[[nodiscard]] inline bool asks_for_ecn(const Segment& g) {
  return (g.flags & (kEce | kCwr)) == (kEce | kCwr);
}

[[nodiscard]] inline ClientOptions agree(const Segment& g, const TcpOptions& o,
                                         const SynAckOffer& offer) {
  ClientOptions out;
  out.timestamps = o.timestamps && offer.has(kOffersTimestamps);
  out.mss = o.mss != 0 ? o.mss : default_mss(g.ipv6);
  out.wscale = o.window_scale;
  if (out.wscale != kNoScale) out.offered_scale = offer.window_scale;
  out.sack = o.sack_permitted && offer.has(kOffersSack);
  out.ecn = out.timestamps && offer.has(kOffersEcn) && asks_for_ecn(g);
  return out;
}

// True: c.syn says what the answer will be. False: the packet is decided.
[[nodiscard]] inline bool plan_syn(const Moment& now, Answerer& answerer, Counters& counters,
                                   Context& c) {
  const Segment& g = c.segment;
  const TcpOptions o = parse_tcp_options(g.options(), g.options_size());
  const auto refuse = [&](Reason why) {
    drop(counters, c, why);
    return false;
  };
  if (!checksum_ok(c)) return refuse(Reason::bad_checksum);
  if (o.auth) return refuse(Reason::tcp_auth);
  c.syn.keys = now.keys().current();
  if (c.syn.keys == nullptr) return refuse(Reason::no_secret);
  c.syn.offer = answerer.offer(now, c.key());
  c.syn.agreed = agree(g, o, c.syn.offer);
  c.syn.tsval = o.tsval;
  if (mss_too_small(c.syn.agreed)) return refuse(Reason::syn_mss_small);
  counters.count(Reason::syn_received);
  return true;
}

// The answer is remembered for a while, so that it can be repeated.
void remember_common_syn_ack(const Context& c, const Cookie& cookie, std::uint32_t flags,
                             SynAckRepeats::Entry& e);
void remember_syn_ack(const Context& c, const TcpReply& syn_ack, SynAckRepeats::Entry& e);

// `mac`: of c.syn's layout key, over the VLAN stack too.
inline void answer_syn(const Moment& now, Answerer& answerer, Counters& counters, Context& c,
                       std::uint64_t mac) {
  const Segment& g = c.segment;
  const ClientOptions& agreed = c.syn.agreed;
  const LayoutKey& key = key_of_layout(*c.syn.keys, agreed.timestamps);
  const Cookie cookie = make_cookie(mac, key, c.syn.keys->epoch & 1U, agreed);
  TcpReply r;
  r.seq = SeqNum(cookie.isn);
  r.ack = g.seq + 1;
  r.flags = static_cast<std::uint16_t>(kSyn | kAck | (agreed.ecn ? kEce : 0));
  r.window = c.syn.offer.window;
  r.mss = c.syn.offer.mss;
  r.window_scale = agreed.offered_scale;
  r.sack_permitted = agreed.sack;
  r.timestamps = agreed.timestamps;
  r.tsval = cookie.tsval;
  r.tsecr = c.syn.tsval;
  if (SynAckRepeats::Entry* e = answerer.repeats().admit(now.ms32())) remember_syn_ack(c, r, *e);
  const bool fits =
      g.ipv6 ? answer_in_place<true>(*c.packet, g, r) : answer_in_place<false>(*c.packet, g, r);
  if (!fits) return drop(counters, c, Reason::no_buffer_room);
  c.packet->verdict = Verdict::kReply;
  counters.count(Reason::synack_sent);
}

}  // namespace synproxy
