// SPDX-License-Identifier: BSD-3-Clause
// The stateless answer to a SYN, in the two halves between which its MAC is computed: plan_syn()
// decides, whatever the options are, and answer_syn() writes. For the usual SYNs plan_known_syn()
// decides the same (known_syn.h). Inline: this is what a flood pays for.
#pragma once

#include <type_traits>

#include "burst/verdicts.h"
#include "frames/tcp_writer.h"
#include "syn/answerer.h"

namespace synproxy {

// RFC 3168 section 6.1.1 for an ECN-setup SYN. One that asks for AccECN (AE, CWR and ECE, RFC 9768
// section 3.1.2) falls back to that when it is answered with ECE alone.
[[nodiscard]] inline bool asks_for_ecn(const Segment& g) {
  return (g.flags & (kEce | kCwr)) == (kEce | kCwr);
}
[[nodiscard]] constexpr std::uint16_t syn_ack_flags(bool ecn) {
  return static_cast<std::uint16_t>(kSyn | kAck | (ecn ? kEce : 0));
}

// Without the offered scale, which is the service's or none.
[[nodiscard]] inline ClientOptions agree(const Segment& g, const TcpOptions& o,
                                         const SynAckOffer& offer) {
  ClientOptions out;
  out.timestamps = o.timestamps && offer.has(kOffersTimestamps);
  out.mss = o.mss != 0 ? o.mss : default_mss(g.ipv6);
  out.wscale = o.window_scale;
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
  if (now.keys().current() == nullptr) return refuse(Reason::no_secret);
  c.syn.offer = answerer.offer(now, c.key());
  const ClientOptions agreed = agree(g, o, c.syn.offer);
  if (mss_too_small(agreed)) return refuse(Reason::syn_mss_small);
  c.syn.says = option_set(true, agreed.timestamps, agreed.sack, agreed.wscale != kNoScale);
  c.syn.flags = syn_ack_flags(agreed.ecn);
  c.syn.packed =
      static_cast<std::uint32_t>(agreed.timestamps ? pack_timestamps(agreed) : pack_plain(agreed));
  c.syn.tsval = be32(o.tsval);
  return true;
}

// The answer is remembered for a while, so that it can be repeated. By value: the caller's stays in
// registers.
void remember_syn_ack(const Context& c, TcpReply syn_ack, SynAckRepeats::Entry& e);

// `Says`: an OptionSet, or one at compile time; c.syn.says in either case.
template <bool kIpv6, typename Says>
[[nodiscard]] inline bool answer_saying(const Moment& now, Answerer& answerer, Counters& counters,
                                        Context& c, const EpochKeys& keys, std::uint64_t mac,
                                        bool remembered, Says says) {
  const SynPlan& plan = c.syn;
  const SynAckOffer offer = plan.offer;
  const unsigned parity = keys.epoch & 1U;
  TcpReply r;
  r.timestamps = (says & kSaysTimestamps) != 0;
  r.sack_permitted = (says & kSaysSack) != 0;
  r.window_scale = (says & kSaysScale) != 0 ? offer.window_scale : kNoScale;
  const Cookie cookie =
      r.timestamps
          ? make_packed_cookie<true>(mac, keys.timestamps, parity, plan.packed, r.window_scale)
          : make_packed_cookie<false>(mac, keys.plain, parity, plan.packed, r.window_scale);
  r.seq = SeqNum(cookie.isn);
  r.ack = c.segment.seq + 1;
  r.flags = plan.flags;
  r.window = offer.window;
  r.mss = offer.mss;
  r.tsval = cookie.tsval;
  r.tsecr = plan.tsval.host();
  if (remembered) [[unlikely]] {
    if (SynAckRepeats::Entry* e = answerer.repeats().admit(now.ms32())) remember_syn_ack(c, r, *e);
  }
  if (!answer_in_place<kIpv6>(*c.packet, c.segment, r, says)) {
    drop(counters, c, Reason::no_buffer_room);
    return false;
  }
  c.packet->verdict = Verdict::kReply;
  return true;
}

// The frame becomes the SYN-ACK that c.syn plans. False: it has no room for that, and is dropped.
// `mac`: of c.syn's layout key, over the VLAN stack too; `remembered`: so that it can be repeated.
[[nodiscard]] inline bool answer_syn(const Moment& now, Answerer& answerer, Counters& counters,
                                     Context& c, const EpochKeys& keys, std::uint64_t mac,
                                     bool remembered) {
  const bool ipv6 = c.segment.ipv6;
  // Nearly always all four options are agreed upon: for them the writer has no question left.
  if (c.syn.says == kSaysAllFour) [[likely]] {
    constexpr std::integral_constant<OptionSet, kSaysAllFour> kAllFour;
    return ipv6 ? answer_saying<true>(now, answerer, counters, c, keys, mac, remembered, kAllFour)
                : answer_saying<false>(now, answerer, counters, c, keys, mac, remembered, kAllFour);
  }
  return ipv6 ? answer_saying<true>(now, answerer, counters, c, keys, mac, remembered, c.syn.says)
              : answer_saying<false>(now, answerer, counters, c, keys, mac, remembered, c.syn.says);
}

}  // namespace synproxy
