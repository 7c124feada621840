// SPDX-License-Identifier: BSD-3-Clause
// The stateless answer to a SYN, in two halves. plan_syn() decides what the answer says, for any
// options; then the MAC is computed; then answer_syn() writes. For the usual SYNs plan_known_syn()
// decides the same (known_syn.h). All is inline, because a flood runs through this code.
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

// What both sides agree on, except the offered scale: that is the service's, or none. `tight`:
// plain cookies are.
[[nodiscard]] inline ClientOptions agree(const Segment& g, const TcpOptions& o,
                                         const SynAckOffer& offer, bool tight) {
  ClientOptions out;
  out.timestamps = o.timestamps && offer.has(kOffersTimestamps);
  out.mss = o.mss != 0 ? o.mss : default_mss(g.ipv6);
  out.wscale = o.window_scale;
  out.sack = o.sack_permitted && offer.has(kOffersSack);
  out.ecn = out.timestamps && offer.has(kOffersEcn) && asks_for_ecn(g);
  if (tight && !out.timestamps) [[unlikely]]
    return fit_for_tight_cookie(out);
  return fit_for_cookie(out);
}
// `o`: the options of the SYN. True: c.syn holds the plan of the answer. False: the packet was
// dropped.
[[nodiscard]] inline bool plan_syn(const Moment& now, Answerer& answerer, Counters& counters,
                                   Context& c, const TcpOptions& o) {
  const Segment& g = c.segment;
  const auto refuse = [&](Reason why) {
    drop(counters, c, why);
    return false;
  };
  if (!checksum_ok(c)) return refuse(Reason::bad_checksum);
  if (o.auth) return refuse(Reason::tcp_auth);
  const EpochKeys* keys = now.keys().current();
  if (keys == nullptr) return refuse(Reason::no_secret);
  c.syn.offer = answerer.offer(now, c.key(), c.service);
  const bool tight = keys->plain.tight;
  const ClientOptions agreed = agree(g, o, c.syn.offer, tight);
  c.syn.says = option_set(true, agreed.timestamps, agreed.sack, agreed.wscale != kNoScale);
  c.syn.flags = syn_ack_flags(agreed.ecn);
  // No branch: in a flood of lists made at random it would be mispredicted.
  const std::uint64_t in_tsval = agreed.timestamps ? ~layout::kIsnOptionMask : 0;
  c.syn.packed =
      static_cast<std::uint32_t>(pack_timestamps(agreed) & (layout::kIsnOptionMask | in_tsval));
  if (tight && !agreed.timestamps) [[unlikely]]
    c.syn.packed = static_cast<std::uint32_t>(pack_tight(agreed));
  c.syn.tsval = be32(o.tsval);
  return true;
}

template <bool kIpv6>
[[nodiscard]] inline IpLook look_of_syn_ack(const Context& c) {
  const IpLook syn = look_at<kIpv6>(c.segment.l3());
  return {syn.first, c.syn.offer.ttl_for(syn.ttl)};
}

void fill_in(SynAckRepeats::Entry& e, const Context& c, const TcpReply& syn_ack);
// Remembers the answer for a while, so that it can be repeated. It is passed by value, so that the
// caller's copy stays in registers.
void remember_syn_ack(const Moment& now, SynAckRepeats& repeats, const Context& c,
                      TcpReply syn_ack);

// The SYN-ACK that c.syn plans. `says`: c.syn.says, as an OptionSet or as a constant known at
// compile time.
template <typename Says>
[[nodiscard, gnu::always_inline]] inline TcpReply syn_ack_of(const Context& c,
                                                             const EpochKeys& keys,
                                                             std::uint64_t mac, Says says) {
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
  return r;
}

// For SynTimes; out of line, because in a flood it follows few.
void follow_syn(const Moment& now, Answerer& answerer, Counters& counters, std::uint64_t mac);

// `says`: as above.
template <bool kIpv6, typename Says>
[[nodiscard]] inline bool answer_saying(const Moment& now, Answerer& answerer, Counters& counters,
                                        Context& c, const EpochKeys& keys, std::uint64_t mac,
                                        bool remembered, Says says) {
  const TcpReply r = syn_ack_of(c, keys, mac, says);
  if (remembered) [[unlikely]]
    remember_syn_ack(now, answerer.repeats(), c, r);
  if (!answer_in_place<kIpv6>(*c.packet, c.segment, r, look_of_syn_ack<kIpv6>(c), says)) {
    drop(counters, c, Reason::no_buffer_room);
    return false;
  }
  c.packet->decide(Verdict::kReply, Reason::synack_sent);
  if (answerer.syn_times().follows(mac)) [[unlikely]]
    follow_syn(now, answerer, counters, mac);
  return true;
}

// For any other set that has an MSS. One jump chooses the set, and its writer has no branches
// either: sets at random, as a flood may ask for, would mispredict each of them. Kept out of line,
// because there are sixteen of them.
template <bool kIpv6>
[[nodiscard, gnu::noinline]] bool answer_rarer_of(const Moment& now, Answerer& answerer,
                                                  Counters& counters, Context& c,
                                                  const EpochKeys& keys, std::uint64_t mac,
                                                  bool remembered) {
  const auto saying = [&](auto set) {
    constexpr std::integral_constant<OptionSet, decltype(set)::value | kSaysMss> kSet;
    return answer_saying<kIpv6>(now, answerer, counters, c, keys, mac, remembered, kSet);
  };
  static_assert(kSaysMss == 1 && kSaysAllFour == 15);
  switch (c.syn.says >> 1) {
    case 0:
      return saying(std::integral_constant<OptionSet, 0>{});
    case 1:
      return saying(std::integral_constant<OptionSet, 2>{});
    case 2:
      return saying(std::integral_constant<OptionSet, 4>{});
    case 3:
      return saying(std::integral_constant<OptionSet, 6>{});
    case 4:
      return saying(std::integral_constant<OptionSet, 8>{});
    case 5:
      return saying(std::integral_constant<OptionSet, 10>{});
    case 6:
      return saying(std::integral_constant<OptionSet, 12>{});
    default:
      return saying(std::integral_constant<OptionSet, 14>{});
  }
}
[[nodiscard]] inline bool answer_rarer(const Moment& now, Answerer& answerer, Counters& counters,
                                       Context& c, const EpochKeys& keys, std::uint64_t mac,
                                       bool remembered) {
  return c.segment.ipv6 ? answer_rarer_of<true>(now, answerer, counters, c, keys, mac, remembered)
                        : answer_rarer_of<false>(now, answerer, counters, c, keys, mac, remembered);
}

// Turns the frame into the SYN-ACK that c.syn plans. False: the frame has no room for it and is
// dropped. `mac`: made with the key of c.syn's layout, covers the VLAN stack too. `remembered`:
// keeps the SYN-ACK so that it can be repeated.
[[nodiscard]] inline bool answer_syn(const Moment& now, Answerer& answerer, Counters& counters,
                                     Context& c, const EpochKeys& keys, std::uint64_t mac,
                                     bool remembered) {
  // Nearly always all four options are agreed upon. The constant then leaves the writer no branch.
  if (c.syn.says == kSaysAllFour) [[likely]] {
    constexpr std::integral_constant<OptionSet, kSaysAllFour> kAllFour;
    return c.segment.ipv6
               ? answer_saying<true>(now, answerer, counters, c, keys, mac, remembered, kAllFour)
               : answer_saying<false>(now, answerer, counters, c, keys, mac, remembered, kAllFour);
  }
  return answer_rarer(now, answerer, counters, c, keys, mac, remembered);
}

}  // namespace synproxy
