// SPDX-License-Identifier: BSD-3-Clause
// What the kernels that write SYN-ACKs in columns need (syn_burst_avx512.cc, mixed_syns_avx512.cc,
// any_syns_avx512.cc).
#pragma once

#include "burst/columns_avx512.h"
#include "burst/columns_ipv6_avx512.h"
#include "frames/tcp_writer.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/tcp_options.h"

#if defined(__x86_64__)
namespace synproxy::columns {

SYNPROXY_COLUMNS __m512i join(__m512i a, __m512i b) {
  return add(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}
// Adds up each of eight registers. Lane i of the result: the sum of the i-th.
SYNPROXY_COLUMNS __m512i sums_of(const __m512i* r) {
  __m512i pairs[4];
  for (std::size_t i = 0; i < 4; ++i) {
    pairs[i] = add(_mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]),
                   _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]));
  }
  return join(join(pairs[0], pairs[1]), join(pairs[2], pairs[3]));
}
// The sum of the 32-bit words of each lane's bytes; behind the end they count as zeros.
SYNPROXY_COLUMNS __m512i sums_of_bytes(const Columns::Column<const std::uint8_t*>& from,
                                       const Columns::Column<std::uint64_t>& length) {
  __m512i r[Columns::kLanes];
  for (std::size_t i = 0; i < Columns::kLanes; ++i) {
    r[i] = halves(_mm512_maskz_loadu_epi8(~0ULL >> (64 - length[i]), from[i]));
  }
  return sums_of(r);
}
SYNPROXY_COLUMNS __mmask8 is_good(__m512i sum) {
  return _mm512_cmpeq_epi64_mask(fold(sum), all(0xffff));
}

// a | (b & mask)
SYNPROXY_COLUMNS __m512i with_bits(__m512i a, __m512i b, std::uint64_t mask) {
  return _mm512_ternarylogic_epi64(a, b, all(mask), 0xf8);
}
// a | (~b & mask)
SYNPROXY_COLUMNS __m512i with_inverse(__m512i a, __m512i b, std::uint64_t mask) {
  return _mm512_ternarylogic_epi64(a, b, all(mask), 0xf2);
}

// isn_of() without the parity.
template <unsigned kOptionBits>
SYNPROXY_COLUMNS __m512i tag_and_options(__m512i sum, __m512i masked) {
  const __m512i tag = _mm512_srli_epi64(sum, layout::isn_tag_shift(kOptionBits));
  return either(_mm512_slli_epi64(tag, kOptionBits),
                _mm512_and_si512(masked, all((1ULL << kOptionBits) - 1)));
}

constexpr std::uint64_t kTtlByte = 0xff;
constexpr std::uint64_t kDscpByte = raw(look_bits(false));
static_assert(kDscpByte == 0xfc00 && be32(kIpv4ProtocolWord | 0xffU << 24).raw() ==
                                         (be32(kIpv4ProtocolWord).raw() | kTtlByte));
// SynGroup::source: word 1, with the TOS byte from the same place of word 0.
SYNPROXY_COLUMNS __m512i source_and_look(const Words& f) {
  constexpr __mmask64 kSecondBytes = 0x0202020202020202ULL;
  return _mm512_mask_mov_epi8(f.w[1], kSecondBytes, f.w[0]);
}
// The look of the answers: TTL and DSCP in these bytes. Does what SynAckOffer::ttl_for() does.
SYNPROXY_COLUMNS __m512i look_of_answers(__m512i source_and_look, __m512i offer) {
  static_assert(offsetof(SynAckOffer, ttl) == 5 && offsetof(SynAckOffer, ttl_of_syn) == 6 &&
                offsetof(SynAckOffer, dscp_of_syn) == 7);
  constexpr __mmask64 kFirstBytes = 0x0101010101010101ULL;
  const __m512i of_syn = _mm512_and_si512(source_and_look, _mm512_srli_epi64(offer, 48));
  return _mm512_mask_max_epu8(of_syn, kFirstBytes, of_syn, _mm512_srli_epi64(offer, 40));
}

// For IPv6 `source` is the first word of the header.
constexpr std::uint64_t fixed_first_word(std::uint32_t tcp) {
  return raw(6U << 28, tcp << 16 | std::uint32_t{kProtocolTcp} << 8);
}
constexpr std::uint64_t kIpv6LookBits = raw(look_bits(true));
constexpr std::uint64_t kHopLimitByte = 0xffULL << 8 * ipv6_at::kHopLimit;
// `fixed`: the word without its look, fixed_first_word().
SYNPROXY_COLUMNS __m512i first_word_of_answers(__m512i of_syn, __m512i offer, __m512i fixed) {
  constexpr __mmask64 kHopLimits = 0x8080808080808080ULL;
  static_assert(ipv6_at::kHopLimit == 7);
  const __m512i seen = _mm512_and_si512(of_syn, _mm512_slli_epi64(offer, 8));
  const __m512i limit =
      _mm512_mask_max_epu8(of_syn, kHopLimits, seen, _mm512_slli_epi64(offer, 16));
  return with_bits(fixed, limit, kIpv6LookBits | kHopLimitByte);
}

SYNPROXY_COLUMNS void swap_mac_addresses_of(std::uint8_t* frame) {
  auto* at = reinterpret_cast<__m128i*>(frame);
  const __m128i swap = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
  _mm_storeu_si128(at, _mm_shuffle_epi8(_mm_loadu_si128(at), swap));
}
// Of `lanes`, which have no tags.
SYNPROXY_COLUMNS void swap_mac_addresses_of(const Columns& g, std::uint32_t lanes) {
  for (std::size_t i = 0; i < Columns::kLanes; ++i) {
    if (lanes == 0xff || (lanes >> i & 1U) != 0) swap_mac_addresses_of(g.frames[i]);
  }
}

// `ipv6`: the first four words of the IPv6 header.
template <bool kIpv6, bool kAll>
SYNPROXY_COLUMNS void store_lanes(const Columns& g, std::uint32_t lanes, const Words& reply,
                                  const __m512i* ipv6) {
  if constexpr (kIpv6) store_columns<kAll>(g, lanes, kFirstHalf, ipv6);
  store_columns<kAll>(g, lanes, kFirstHalf + shift_of(kIpv6), reply.w);
  store_columns<kAll>(g, lanes, second_half(0) + shift_of(kIpv6), reply.w + kWords / 2);
}
template <bool kIpv6>
SYNPROXY_COLUMNS void store(const Columns& g, std::uint32_t lanes, const Words& reply,
                            const __m512i* ipv6) {
  lanes == 0xff ? store_lanes<kIpv6, true>(g, lanes, reply, ipv6)
                : store_lanes<kIpv6, false>(g, lanes, reply, ipv6);
}

// What is agreed upon, see agree() in answer_syn.h.
struct Agreed {
  __mmask8 timestamps;
  __mmask8 sack;
  __mmask8 scales;
  __mmask8 ecn;
  __m512i packed;
};
SYNPROXY_COLUMNS __m512i one_if(__mmask8 lanes, std::uint64_t value) {
  return _mm512_maskz_mov_epi64(lanes, all(value));
}

constexpr std::uint64_t kSaidSack = 1ULL << 8 * offsetof(TcpOptions, sack_permitted);
constexpr std::uint64_t kSaidTimestamps = 1ULL << 8 * offsetof(TcpOptions, timestamps);
static_assert(offsetof(TcpOptions, mss) == 0 && offsetof(TcpOptions, window_scale) == 2 &&
              offsetof(TcpOptions, tsval) == 8 && sizeof(TcpOptions) == 16);

template <std::size_t kSize>
SYNPROXY_COLUMNS __m512i class_of(__m512i mss, const std::array<std::uint16_t, kSize>& classes) {
  __m512i index = all(0);
  for (std::size_t i = 1; i < kSize; ++i) {
    index =
        _mm512_mask_add_epi64(index, _mm512_cmpge_epu64_mask(mss, all(classes[i])), index, all(1));
  }
  return index;
}

// Does what agree(), fit_for_cookie() or fit_for_tight_cookie(), and the pack function do. `said`:
// a TcpOptions, its first eight bytes. `can`: of SynAckOffer. `tight`: plain cookies are.
template <bool kIpv6>
SYNPROXY_COLUMNS Agreed agree_upon(__m512i said, __m512i can, __mmask8 wants_ecn, bool tight) {
  using namespace layout;
  Agreed a;
  a.timestamps = _mm512_test_epi64_mask(said, all(kSaidTimestamps)) &
                 _mm512_test_epi64_mask(can, all(kOffersTimestamps));
  a.ecn = a.timestamps & wants_ecn & _mm512_test_epi64_mask(can, all(kOffersEcn));
  const __mmask8 plain = static_cast<__mmask8>(~a.timestamps);
  __m512i mss = _mm512_and_si512(said, all(0xffff));
  mss = _mm512_mask_mov_epi64(mss, _mm512_cmpeq_epi64_mask(mss, all(0)), all(default_mss(kIpv6)));
  const __mmask8 small = _mm512_mask_cmplt_epu64_mask(plain, mss, all(kMssClasses[1]));
  const __mmask8 lowest = _mm512_mask_cmplt_epu64_mask(plain, mss, all(kLowestMssClass));
  __m512i scale = _mm512_and_si512(_mm512_srli_epi64(said, 16), all(0xff));
  scale = _mm512_mask_mov_epi64(scale, lowest, all(kNoScale));
  a.scales = _mm512_cmpneq_epi64_mask(scale, all(kNoScale));
  const __mmask8 far = static_cast<__mmask8>(
      small & a.scales & _mm512_cmpgt_epu64_mask(scale, all(kMostScaleBesideSack)));
  a.sack = static_cast<__mmask8>(_mm512_test_epi64_mask(said, all(kSaidSack)) &
                                 _mm512_test_epi64_mask(can, all(kOffersSack)) & ~(lowest | far));
  const __m512i code_of_low = add(class_of(mss, kLowMssClasses), all(kMostScaleBesideSack + 1U));
  const __m512i code = _mm512_mask_mov_epi64(scale, lowest, code_of_low);
  const __m512i in_isn =
      either(either(_mm512_slli_epi64(code, kScale.shift),
                    one_if(static_cast<__mmask8>(a.sack | lowest), layout::kSack.put(1))),
             class_of(mss, kMssClasses));
  static_assert(kMssClass.shift == 0);
  const __m512i in_tsval =
      either(_mm512_slli_epi64(mss, kMss.shift), one_if(a.ecn, layout::kEcn.put(1)));
  a.packed = either(in_isn, _mm512_maskz_mov_epi64(a.timestamps, in_tsval));
  if (tight) [[unlikely]] {
    const __mmask8 rich =
        _mm512_mask_cmpge_epu64_mask(plain & a.sack & a.scales & ~small, scale, all(kTightScale));
    a.sack = (a.sack & a.timestamps) | rich;
    a.scales = (a.scales & a.timestamps) | rich;
    const __m512i in_tight_isn =
        either(one_if(static_cast<__mmask8>(rich | lowest), kTightRich.put(1)),
               class_of(mss, kMssClasses));
    a.packed = _mm512_mask_mov_epi64(a.packed, plain, in_tight_isn);
  }
  return a;
}

struct Made {
  __m512i mac;
  __m512i isn;
  __m512i tsval;
};
// Does what make_packed_cookie() does, for either layout.
template <bool kIpv6>
SYNPROXY_COLUMNS Made cookies_of(const Columns& g, const Agreed& a, __m512i isn,
                                 const EpochKeys& keys, __m512i offered_scale) {
  using namespace layout;
  const __m512i k0 = choose(a.timestamps, keys.plain.k0, keys.timestamps.k0);
  const __m512i k1 = choose(a.timestamps, keys.plain.k1, keys.timestamps.k1);
  const __m512i multiplier =
      choose(a.timestamps, keys.plain.multiplier, keys.timestamps.multiplier);
  const __m512i of_frame = kIpv6 ? macs_of_ipv6(g, isn, k0, k1) : macs_of(g, isn, k0, k1);
  const __m512i mac = covering_tags(g, of_frame, k0, k1);
  const __m512i masked = _mm512_xor_si512(a.packed, mac);
  const __m512i in_isn = _mm512_and_si512(a.packed, all(kIsnOptionMask));
  const __m512i covered = either(in_isn, _mm512_slli_epi64(offered_scale, kIsnOptionBits));
  const __m512i sum = add(mac, _mm512_mullo_epi64(covered, multiplier));
  __m512i rest = tag_and_options<kIsnOptionBits>(sum, masked);
  if (keys.plain.tight) [[unlikely]]
    rest =
        _mm512_mask_mov_epi64(tag_and_options<kTightOptionBits>(sum, masked), a.timestamps, rest);
  const std::uint64_t parity = keys.epoch & 1U;
  // Of the layout with timestamps; the other one does not send it.
  const __m512i in_tsval =
      _mm512_slli_epi64(_mm512_srli_epi64(a.packed, kIsnOptionBits), kCoveredByTsval);
  const __m512i second = add(sum, _mm512_mullo_epi64(in_tsval, multiplier));
  const __m512i second_tag =
      _mm512_and_si512(_mm512_srli_epi64(second, kTsvalTagShift), all(kTsvalTagMask));
  const __m512i in_clear =
      _mm512_and_si512(_mm512_srli_epi64(masked, kIsnOptionBits), all(kTsvalOptionMask));
  return {mac, low(either(_mm512_slli_epi64(rest, kParityBits), all(parity))),
          either(_mm512_slli_epi64(second_tag, kTsvalOptionBits), in_clear)};
}

// The option words of the SYN-ACKs, in host order and in their places; which words there are
// differs by lane. Behind the last is anything.
struct ReplyOptions {
  __m512i word[5];
  __m512i tcp;  // bytes of the TCP header
  __m512i sum;  // of the words that there are
};
SYNPROXY_COLUMNS __m512i fixed(OptionWord w) { return all(form_of(w).fixed); }
SYNPROXY_COLUMNS ReplyOptions options_of(const Agreed& a, __m512i offer, __m512i offered_scale,
                                         __m512i tsval, __m512i tsecr) {
  using enum OptionWord;
  const __m512i mss = with_bits(fixed(kMss), offer, 0xffff);
  const __m512i scale = either(fixed(kNopAndScale), offered_scale);
  const __m512i before_stamps =
      _mm512_mask_mov_epi64(fixed(kNopsAndTimestamps), a.sack, fixed(kSackAndTimestamps));
  const __m512i alone = _mm512_mask_mov_epi64(scale, a.sack, fixed(kNopsAndSack));
  ReplyOptions o;
  o.word[0] = mss;
  o.word[1] = _mm512_mask_mov_epi64(alone, a.timestamps, before_stamps);
  o.word[2] = _mm512_mask_mov_epi64(scale, a.timestamps, tsval);
  o.word[3] = tsecr;
  o.word[4] = scale;
  const auto sack_alone = static_cast<__mmask8>(a.sack & ~a.timestamps);
  o.tcp = add(add(all(kTcpHeader + 4), one_if(a.timestamps, 12)),
              add(one_if(sack_alone, 4), one_if(a.scales, 4)));
  const __m512i stamps =
      _mm512_maskz_mov_epi64(a.timestamps, add(before_stamps, add(tsval, tsecr)));
  const __m512i rest = add(_mm512_maskz_mov_epi64(sack_alone, fixed(kNopsAndSack)),
                           _mm512_maskz_mov_epi64(a.scales, scale));
  o.sum = add(add(mss, stamps), rest);
  return o;
}

// The fold of a sum of words in host order, as of words in the order of the frame.
SYNPROXY_COLUMNS __m512i swapped_fold(__m512i sum) {
  const __m512i folded = fold(sum);
  return either(_mm512_srli_epi64(folded, 8),
                _mm512_and_si512(_mm512_slli_epi64(folded, 8), all(0xff00)));
}

// What was asked, and what the service offers.
struct Asked {
  __m512i offer;  // SynAckOffer::first_word()
  __m512i isn;    // the client's, host order
  __m512i tsecr;  // host order
  __m512i look;   // TTL and TOS in the lowest two bytes; the first word of an IPv6 header
};
struct Answers {
  __m512i mac;
  __m512i tcp;  // bytes of the TCP header
};
// Writes SYN-ACKs whose options differ by lane, but for the Ethernet header.
template <bool kIpv6>
SYNPROXY_COLUMNS Answers answer_lanes(const Columns& g, std::uint32_t lanes, const Agreed& a,
                                      const Asked& asked, const EpochKeys& keys) {
  const __m512i offer = asked.offer;
  const __m512i offered_scale =
      _mm512_mask_mov_epi64(all(kNoScale), a.scales, _mm512_and_si512(high(offer), all(0xff)));
  const Made cookie = cookies_of<kIpv6>(g, a, asked.isn, keys, offered_scale);
  const ReplyOptions o = options_of(a, offer, offered_scale, cookie.tsval, asked.tsecr);

  const __m512i ports = low(swap_words(get(g.ports)));  // the server's first
  const __m512i look = asked.look;
  Words r;
  __m512i ipv6[4];
  __m512i ends;
  if constexpr (kIpv6) {
    const Ipv6Words v{look, {get(g.ipv6[2]), get(g.ipv6[3])}, {get(g.ipv6[0]), get(g.ipv6[1])}};
    const __m512i length = swap_words(up(_mm512_slli_epi64(o.tcp, 16)));
    ipv6[0] = first_word_of_answers(v.first, offer, either(all(fixed_first_word(0)), length));
    ipv6[1] = v.client[0];
    ipv6[2] = v.client[1];
    ipv6[3] = v.server[0];
    r.w[0] = either(high(v.client[1]), up(v.server[0]));
    r.w[1] = either(high(v.server[0]), up(v.server[1]));
    r.w[2] = either(high(v.server[1]), up(ports));
    ends = sum_of_addresses(v);
  } else {
    const __m512i of_answer = look_of_answers(look, offer);
    const __m512i client = low(get(g.addresses));
    const __m512i server = high(get(g.addresses));
    ends = add(client, server);
    const __m512i length = low(swap_words(add(o.tcp, all(ipv4_length_word(kIpv4Header)))));
    const __m512i fixed_sum = all(std::uint64_t{raw(kIpv4FragmentWord)} + raw(kIpv4ProtocolWord));
    const __m512i of_look = _mm512_and_si512(of_answer, all(kDscpByte | kTtlByte));
    const __m512i sum = fold(add(add(ends, length), add(fixed_sum, of_look)));
    const __m512i ip_sum = _mm512_andnot_si512(sum, all(0xffff));
    r.w[0] = with_bits(either(length, all(std::uint64_t{raw(kIpv4FragmentWord)} << 32)), of_answer,
                       kDscpByte);
    r.w[1] = with_bits(
        either(either(all(raw(kIpv4ProtocolWord)), up(server)), _mm512_slli_epi64(ip_sum, 16)),
        of_answer, kTtlByte);
    r.w[2] = either(client, up(ports));
  }
  const __m512i ack = low(add(asked.isn, all(1)));
  const __m512i window = _mm512_and_si512(_mm512_srli_epi64(offer, 16), all(0xffff));
  const __m512i ece = one_if(a.ecn, std::uint64_t{kEce} << 16);
  const __m512i flags = either(either(_mm512_slli_epi64(o.tcp, 26), ece),
                               either(all(std::uint64_t{kSyn | kAck} << 16), window));
  static_assert(tcp_flags_word(20, kSyn, 7) == (20U << 26 | std::uint32_t{kSyn} << 16 | 7U));
  r.w[3] = swap_words(either(cookie.isn, up(ack)));
  r.w[4] = swap_words(either(ack, up(flags)));
  r.w[6] = swap_words(either(o.word[1], up(o.word[2])));
  r.w[7] = swap_words(either(o.word[3], up(o.word[4])));
  const __m512i of_host = swapped_fold(add(add(cookie.isn, ack), add(flags, o.sum)));
  const __m512i pseudo = low(swap_words(add(o.tcp, all(kProtocolTcp))));
  const __m512i tcp_sum = fold(add(add(ends, ports), add(pseudo, of_host)));
  // The lower half is the checksum and an urgent pointer of 0.
  r.w[5] = with_inverse(swap_words(up(o.word[0])), tcp_sum, 0xffff);

  store<kIpv6>(g, lanes, r, ipv6);
  return {cookie.mac, o.tcp};
}

}  // namespace synproxy::columns
#endif
