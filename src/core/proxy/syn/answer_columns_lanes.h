// SPDX-License-Identifier: BSD-3-Clause
// What the kernels that write SYN-ACKs in columns need (syn_burst_lanes.h, mixed_syns_lanes.h,
// any_syns_lanes.h).
#pragma once

#include "burst/columns_ipv6_lanes.h"
#include "burst/columns_lanes.h"
#include "frames/tcp_writer.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/tcp_options.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

SYNPROXY_LANES Mask is_good(U64x8 sum) { return equal(fold(sum), all(0xffff)); }

// isn_of() without the parity.
template <unsigned kOptionBits>
SYNPROXY_LANES U64x8 tag_and_options(U64x8 sum, U64x8 masked) {
  const U64x8 tag = down_by<layout::isn_tag_shift(kOptionBits)>(sum);
  return either(up_by<kOptionBits>(tag), both(masked, all((1ULL << kOptionBits) - 1)));
}

constexpr std::uint64_t kTtlByte = 0xff;
constexpr std::uint64_t kDscpByte = raw(look_bits(false));
static_assert(kDscpByte == 0xfc00 && be32(kIpv4ProtocolWord | 0xffU << 24).raw() ==
                                         (be32(kIpv4ProtocolWord).raw() | kTtlByte));
// SynGroup::source: word 1, with the TOS byte from the same place of word 0.
SYNPROXY_LANES U64x8 source_and_look(const Words& f) {
  constexpr std::uint8_t kSecondBytes = 0x02;
  return choose_bytes<kSecondBytes>(f.w[1], f.w[0]);
}
// The look of the answers: TTL and DSCP in these bytes. Does what SynAckOffer::ttl_for() does.
SYNPROXY_LANES U64x8 look_of_answers(U64x8 source_and_look, U64x8 offer) {
  static_assert(offsetof(SynAckOffer, ttl) == 5 && offsetof(SynAckOffer, ttl_of_syn) == 6 &&
                offsetof(SynAckOffer, dscp_of_syn) == 7);
  constexpr std::uint8_t kFirstBytes = 0x01;
  const U64x8 of_syn = both(source_and_look, down_by<48>(offer));
  return larger_bytes<kFirstBytes>(of_syn, of_syn, down_by<40>(offer));
}

// For IPv6 `source` is the first word of the header.
constexpr std::uint64_t fixed_first_word(std::uint32_t tcp) {
  return raw(6U << 28, tcp << 16 | std::uint32_t{kProtocolTcp} << 8);
}
constexpr std::uint64_t kIpv6LookBits = raw(look_bits(true));
constexpr std::uint64_t kHopLimitByte = 0xffULL << 8 * ipv6_at::kHopLimit;
// `fixed`: the word without its look, fixed_first_word().
SYNPROXY_LANES U64x8 first_word_of_answers(U64x8 of_syn, U64x8 offer, U64x8 fixed) {
  constexpr std::uint8_t kHopLimits = 0x80;
  static_assert(ipv6_at::kHopLimit == 7);
  const U64x8 seen = both(of_syn, up_by<8>(offer));
  const U64x8 limit = larger_bytes<kHopLimits>(of_syn, seen, up_by<16>(offer));
  return with_bits(fixed, limit, kIpv6LookBits | kHopLimitByte);
}

SYNPROXY_LANES void swap_mac_addresses_of(std::uint8_t* frame) {
  auto* at = reinterpret_cast<__m128i*>(frame);
  const __m128i swap = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
  _mm_storeu_si128(at, _mm_shuffle_epi8(_mm_loadu_si128(at), swap));
}
SYNPROXY_LANES void swap_mac_addresses_of(const Columns& g, std::uint32_t lanes) {
  const auto& starts = g.tagged ? g.starts : g.frames;
  for (std::size_t i = 0; i < Columns::kLanes; ++i) {
    if (lanes == 0xff || (lanes >> i & 1U) != 0) swap_mac_addresses_of(starts[i]);
  }
}

// `ipv6`: the first four words of the IPv6 header.
template <bool kIpv6, bool kAll>
SYNPROXY_LANES void store_lanes(const Columns& g, std::uint32_t lanes, const Words& reply,
                                const U64x8* ipv6) {
  if constexpr (kIpv6) store_columns<kAll>(g.frames, lanes, kFirstHalf, ipv6);
  store_columns<kAll>(g.frames, lanes, kFirstHalf + shift_of(kIpv6), reply.w);
  store_columns<kAll>(g.frames, lanes, second_half(0) + shift_of(kIpv6), reply.w + kWords / 2);
}
template <bool kIpv6>
SYNPROXY_LANES void store(const Columns& g, std::uint32_t lanes, const Words& reply,
                          const U64x8* ipv6) {
  lanes == 0xff ? store_lanes<kIpv6, true>(g, lanes, reply, ipv6)
                : store_lanes<kIpv6, false>(g, lanes, reply, ipv6);
}

// What is agreed upon, see agree() in answer_syn.h.
struct Agreed {
  Mask timestamps;
  Mask sack;
  Mask scales;
  Mask ecn;
  U64x8 packed;
};

constexpr std::uint64_t kSaidSack = 1ULL << 8 * offsetof(TcpOptions, sack_permitted);
constexpr std::uint64_t kSaidTimestamps = 1ULL << 8 * offsetof(TcpOptions, timestamps);
static_assert(offsetof(TcpOptions, mss) == 0 && offsetof(TcpOptions, window_scale) == 2 &&
              offsetof(TcpOptions, tsval) == 8 && sizeof(TcpOptions) == 16);

template <std::size_t kSize>
SYNPROXY_LANES U64x8 class_of(U64x8 mss, const std::array<std::uint16_t, kSize>& classes) {
  U64x8 index = all(0);
  for (std::size_t i = 1; i < kSize; ++i) {
    index = add_in(at_least(mss, classes[i]), index, 1);
  }
  return index;
}

// Does what agree(), fit_for_cookie() or fit_for_tight_cookie(), and the pack function do. `said`:
// a TcpOptions, its first eight bytes. `can`: of SynAckOffer. `tight`: plain cookies are.
template <bool kIpv6>
SYNPROXY_LANES Agreed agree_upon(U64x8 said, U64x8 can, Mask wants_ecn, bool tight) {
  using namespace layout;
  Agreed a;
  a.timestamps = any_bit(said, all(kSaidTimestamps)) & any_bit(can, all(kOffersTimestamps));
  a.ecn = a.timestamps & wants_ecn & any_bit(can, all(kOffersEcn));
  const Mask plain = static_cast<Mask>(~a.timestamps);
  U64x8 mss = both(said, all(0xffff));
  mss = choose(equal(mss, all(0)), mss, all(default_mss(kIpv6)));
  const Mask small = below(plain, mss, kMssClasses[1]);
  const Mask lowest = below(plain, mss, kLowestMssClass);
  U64x8 scale = both(down_by<16>(said), all(0xff));
  scale = choose(lowest, scale, all(kNoScale));
  a.scales = unequal(scale, all(kNoScale));
  const Mask far = static_cast<Mask>(small & a.scales & above(scale, kMostScaleBesideSack));
  a.sack = static_cast<Mask>(any_bit(said, all(kSaidSack)) & any_bit(can, all(kOffersSack)) &
                             ~(lowest | far));
  const U64x8 code_of_low = add(class_of(mss, kLowMssClasses), all(kMostScaleBesideSack + 1U));
  const U64x8 code = choose(lowest, scale, code_of_low);
  const U64x8 in_isn =
      either(either(up_by<kScale.shift>(code),
                    one_if(static_cast<Mask>(a.sack | lowest), layout::kSack.put(1))),
             class_of(mss, kMssClasses));
  static_assert(kMssClass.shift == 0);
  const U64x8 in_tsval = either(up_by<kMss.shift>(mss), one_if(a.ecn, layout::kEcn.put(1)));
  a.packed = either(in_isn, only_in(a.timestamps, in_tsval));
  if (tight) [[unlikely]] {
    const Mask rich = at_least(plain & a.sack & a.scales & ~small, scale, kTightScale);
    a.sack = (a.sack & a.timestamps) | rich;
    a.scales = (a.scales & a.timestamps) | rich;
    const U64x8 in_tight_isn = either(one_if(static_cast<Mask>(rich | lowest), kTightRich.put(1)),
                                      class_of(mss, kMssClasses));
    a.packed = choose(plain, a.packed, in_tight_isn);
  }
  return a;
}

struct Made {
  U64x8 mac;
  U64x8 isn;
  U64x8 tsval;
};
// Does what make_packed_cookie() does, for either layout.
template <bool kIpv6>
SYNPROXY_LANES Made cookies_of(const Columns& g, const Agreed& a, U64x8 isn, const EpochKeys& keys,
                               U64x8 offered_scale) {
  using namespace layout;
  const U64x8 k0 = choose(a.timestamps, keys.plain.k0, keys.timestamps.k0);
  const U64x8 k1 = choose(a.timestamps, keys.plain.k1, keys.timestamps.k1);
  const U64x8 multiplier = choose(a.timestamps, keys.plain.multiplier, keys.timestamps.multiplier);
  const U64x8 mac = kIpv6 ? macs_of_ipv6(g, isn, k0, k1) : macs_of(g, isn, k0, k1);
  const U64x8 masked = exclusive(a.packed, mac);
  const U64x8 in_isn = both(a.packed, all(kIsnOptionMask));
  const U64x8 covered = either(in_isn, up_by<kIsnOptionBits>(offered_scale));
  const U64x8 sum = add(mac, product(covered, multiplier));
  U64x8 rest = tag_and_options<kIsnOptionBits>(sum, masked);
  if (keys.plain.tight) [[unlikely]]
    rest = choose(a.timestamps, tag_and_options<kTightOptionBits>(sum, masked), rest);
  const std::uint64_t parity = keys.epoch & 1U;
  // Of the layout with timestamps; the other one does not send it.
  const U64x8 in_tsval = up_by<kCoveredByTsval>(down_by<kIsnOptionBits>(a.packed));
  const U64x8 second = add(sum, product(in_tsval, multiplier));
  const U64x8 second_tag = both(down_by<kTsvalTagShift>(second), all(kTsvalTagMask));
  const U64x8 in_clear = both(down_by<kIsnOptionBits>(masked), all(kTsvalOptionMask));
  return {mac, low(either(up_by<kParityBits>(rest), all(parity))),
          either(up_by<kTsvalOptionBits>(second_tag), in_clear)};
}

// The option words of the SYN-ACKs, in host order and in their places; which words there are
// differs by lane. Behind the last is anything.
struct ReplyOptions {
  U64x8 word[5];
  U64x8 tcp;  // bytes of the TCP header
  U64x8 sum;  // of the words that there are
};
SYNPROXY_LANES U64x8 fixed(OptionWord w) { return all(form_of(w).fixed); }
SYNPROXY_LANES ReplyOptions options_of(const Agreed& a, U64x8 offer, U64x8 offered_scale,
                                       U64x8 tsval, U64x8 tsecr) {
  using enum OptionWord;
  const U64x8 mss = with_bits(fixed(kMss), offer, 0xffff);
  const U64x8 scale = either(fixed(kNopAndScale), offered_scale);
  const U64x8 before_stamps = choose(a.sack, fixed(kNopsAndTimestamps), fixed(kSackAndTimestamps));
  const U64x8 alone = choose(a.sack, scale, fixed(kNopsAndSack));
  ReplyOptions o;
  o.word[0] = mss;
  o.word[1] = choose(a.timestamps, alone, before_stamps);
  o.word[2] = choose(a.timestamps, scale, tsval);
  o.word[3] = tsecr;
  o.word[4] = scale;
  const auto sack_alone = static_cast<Mask>(a.sack & ~a.timestamps);
  o.tcp = add(add(all(kTcpHeader + 4), one_if(a.timestamps, 12)),
              add(one_if(sack_alone, 4), one_if(a.scales, 4)));
  const U64x8 stamps = only_in(a.timestamps, add(before_stamps, add(tsval, tsecr)));
  const U64x8 rest = add(only_in(sack_alone, fixed(kNopsAndSack)), only_in(a.scales, scale));
  o.sum = add(add(mss, stamps), rest);
  return o;
}

// The fold of a sum of words in host order, as of words in the order of the frame.
SYNPROXY_LANES U64x8 swapped_fold(U64x8 sum) {
  const U64x8 folded = fold(sum);
  return either(down_by<8>(folded), both(up_by<8>(folded), all(0xff00)));
}

// What was asked, and what the service offers.
struct Asked {
  U64x8 offer;  // SynAckOffer::first_word()
  U64x8 isn;    // the client's, host order
  U64x8 tsecr;  // host order
  U64x8 look;   // TTL and TOS in the lowest two bytes; the first word of an IPv6 header
};
struct Answers {
  U64x8 mac;
  U64x8 tcp;  // bytes of the TCP header
};
// Writes SYN-ACKs whose options differ by lane, but for the Ethernet header.
template <bool kIpv6>
SYNPROXY_LANES Answers answer_lanes(const Columns& g, std::uint32_t lanes, const Agreed& a,
                                    const Asked& asked, const EpochKeys& keys) {
  const U64x8 offer = asked.offer;
  const U64x8 offered_scale = choose(a.scales, all(kNoScale), both(high(offer), all(0xff)));
  const Made cookie = cookies_of<kIpv6>(g, a, asked.isn, keys, offered_scale);
  const ReplyOptions o = options_of(a, offer, offered_scale, cookie.tsval, asked.tsecr);

  const U64x8 ports = low(swap_words(get(g.ports)));  // the server's first
  const U64x8 look = asked.look;
  Words r;
  U64x8 ipv6[4];
  U64x8 ends;
  if constexpr (kIpv6) {
    const Ipv6Words v{look, {get(g.ipv6[2]), get(g.ipv6[3])}, {get(g.ipv6[0]), get(g.ipv6[1])}};
    const U64x8 length = swap_words(up(up_by<16>(o.tcp)));
    ipv6[0] = first_word_of_answers(v.first, offer, either(all(fixed_first_word(0)), length));
    ipv6[1] = v.client[0];
    ipv6[2] = v.client[1];
    ipv6[3] = v.server[0];
    r.w[0] = either(high(v.client[1]), up(v.server[0]));
    r.w[1] = either(high(v.server[0]), up(v.server[1]));
    r.w[2] = either(high(v.server[1]), up(ports));
    ends = sum_of_addresses(v);
  } else {
    const U64x8 of_answer = look_of_answers(look, offer);
    const U64x8 client = low(get(g.addresses));
    const U64x8 server = high(get(g.addresses));
    ends = add(client, server);
    const U64x8 length = low(swap_words(add(o.tcp, all(ipv4_length_word(kIpv4Header)))));
    const U64x8 fixed_sum = all(std::uint64_t{raw(kIpv4FragmentWord)} + raw(kIpv4ProtocolWord));
    const U64x8 of_look = both(of_answer, all(kDscpByte | kTtlByte));
    const U64x8 sum = fold(add(add(ends, length), add(fixed_sum, of_look)));
    const U64x8 ip_sum = but_not(all(0xffff), sum);
    r.w[0] = with_bits(either(length, all(std::uint64_t{raw(kIpv4FragmentWord)} << 32)), of_answer,
                       kDscpByte);
    r.w[1] = with_bits(either(either(all(raw(kIpv4ProtocolWord)), up(server)), up_by<16>(ip_sum)),
                       of_answer, kTtlByte);
    r.w[2] = either(client, up(ports));
  }
  const U64x8 ack = low(add(asked.isn, all(1)));
  const U64x8 window = both(down_by<16>(offer), all(0xffff));
  const U64x8 ece = one_if(a.ecn, std::uint64_t{kEce} << 16);
  const U64x8 flags =
      either(either(up_by<26>(o.tcp), ece), either(all(std::uint64_t{kSyn | kAck} << 16), window));
  static_assert(tcp_flags_word(20, kSyn, 7) == (20U << 26 | std::uint32_t{kSyn} << 16 | 7U));
  r.w[3] = swap_words(either(cookie.isn, up(ack)));
  r.w[4] = swap_words(either(ack, up(flags)));
  r.w[6] = swap_words(either(o.word[1], up(o.word[2])));
  r.w[7] = swap_words(either(o.word[3], up(o.word[4])));
  const U64x8 of_host = swapped_fold(add(add(cookie.isn, ack), add(flags, o.sum)));
  const U64x8 pseudo = low(swap_words(add(o.tcp, all(kProtocolTcp))));
  const U64x8 tcp_sum = fold(add(add(ends, ports), add(pseudo, of_host)));
  // The lower half is the checksum and an urgent pointer of 0.
  r.w[5] = with_inverse(swap_words(up(o.word[0])), tcp_sum, 0xffff);

  store<kIpv6>(g, lanes, r, ipv6);
  return {cookie.mac, o.tcp};
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
