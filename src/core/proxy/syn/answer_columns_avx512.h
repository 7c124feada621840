// SPDX-License-Identifier: BSD-3-Clause
// What both kernels that write SYN-ACKs in columns need (syn_burst_avx512.cc, any_syns_avx512.cc).
#pragma once

#include "burst/columns_avx512.h"
#include "burst/columns_ipv6_avx512.h"
#include "frames/tcp_writer.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/proxy/offers.h"

#if defined(__x86_64__)
namespace synproxy::columns {

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

}  // namespace synproxy::columns
#endif
