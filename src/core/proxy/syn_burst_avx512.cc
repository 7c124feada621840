// SPDX-License-Identifier: BSD-3-Clause
// Columns. A frame is two halves of 32 bytes, from byte 14 and from byte 42 on, that is eight
// 64-bit words; word k of eight frames is one register. What a word holds, in the order of bytes:
//
//   0  version, TOS, length   identification, fragment
//   1  TTL, protocol, sum     source
//   2  destination            ports
//   3  seq                    ack
//   4  ack again              offset and flags, window
//   5  sum, urgent pointer    first option
//   6  next options
//   7  next options
//
// A 16-bit sum of ones' complement is the same modulo 0xffff however the bytes are grouped (RFC
// 1071 section 2), so columns are summed by halves of 32 bits as they lie there.
#include "../cookie/siphash_avx512.h"
#include "syn_burst.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"
#include "tcp_writer.h"

#if defined(__x86_64__)
#define SYNPROXY_COLUMNS \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), always_inline)) inline
#define SYNPROXY_KERNEL __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

namespace synproxy {
namespace {

using detail::all;

constexpr std::size_t kFirstHalf = kEthernetHeader;
constexpr std::size_t kSecondHalf = 42;
static_assert(kSecondHalf + 32 == SynGroup::kTouched);

struct Words {
  __m512i w[8];
};

SYNPROXY_COLUMNS __m512i load_half_of_two(const std::uint8_t* low, const std::uint8_t* high) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

// Which two frames share a register decides the order of the lanes: so it is that of the frames.
SYNPROXY_COLUMNS void load_columns(const SynGroup& g, std::size_t offset, __m512i* w) {
  const auto& f = g.frames;
  const __m512i a = load_half_of_two(f[0] + offset, f[2] + offset);
  const __m512i b = load_half_of_two(f[1] + offset, f[3] + offset);
  const __m512i c = load_half_of_two(f[4] + offset, f[6] + offset);
  const __m512i d = load_half_of_two(f[5] + offset, f[7] + offset);
  const __m512i even_ab = _mm512_unpacklo_epi64(a, b);
  const __m512i odd_ab = _mm512_unpackhi_epi64(a, b);
  const __m512i even_cd = _mm512_unpacklo_epi64(c, d);
  const __m512i odd_cd = _mm512_unpackhi_epi64(c, d);
  w[0] = _mm512_shuffle_i64x2(even_ab, even_cd, 0x88);
  w[1] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0x88);
  w[2] = _mm512_shuffle_i64x2(even_ab, even_cd, 0xdd);
  w[3] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0xdd);
}

SYNPROXY_COLUMNS void store_half(std::uint8_t* at, __m256i half) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), half);
}

// Lane by lane: a lane that is not answered keeps its frame.
SYNPROXY_COLUMNS void store_columns(const SynGroup& g, std::uint32_t lanes, std::size_t offset,
                                    const __m512i* w) {
  const __m512i even_low = _mm512_unpacklo_epi64(w[0], w[1]);
  const __m512i odd_low = _mm512_unpackhi_epi64(w[0], w[1]);
  const __m512i even_high = _mm512_unpacklo_epi64(w[2], w[3]);
  const __m512i odd_high = _mm512_unpackhi_epi64(w[2], w[3]);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const __m512i rows[4] = {_mm512_permutex2var_epi64(even_low, first, even_high),   // 0, 2
                           _mm512_permutex2var_epi64(odd_low, first, odd_high),     // 1, 3
                           _mm512_permutex2var_epi64(even_low, second, even_high),  // 4, 6
                           _mm512_permutex2var_epi64(odd_low, second, odd_high)};   // 5, 7
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t lane = i / 2 * 4 + i % 2;
    if ((lanes >> lane & 1U) != 0) {
      store_half(g.frames[lane] + offset, _mm512_castsi512_si256(rows[i]));
    }
    if ((lanes >> (lane + 2) & 1U) != 0) {
      store_half(g.frames[lane + 2] + offset, _mm512_extracti64x4_epi64(rows[i], 1));
    }
  }
}

SYNPROXY_COLUMNS __m512i low(__m512i v) { return _mm512_and_si512(v, all(0xffffffffU)); }
SYNPROXY_COLUMNS __m512i high(__m512i v) { return _mm512_srli_epi64(v, 32); }
SYNPROXY_COLUMNS __m512i up(__m512i v) { return _mm512_slli_epi64(v, 32); }
SYNPROXY_COLUMNS __m512i add(__m512i a, __m512i b) { return _mm512_add_epi64(a, b); }
SYNPROXY_COLUMNS __m512i either(__m512i a, __m512i b) { return _mm512_or_si512(a, b); }
SYNPROXY_COLUMNS __m512i halves(__m512i v) { return add(low(v), high(v)); }

// Sums of a few dozen 32-bit words to 16 bits; 0 only from 0.
SYNPROXY_COLUMNS __m512i fold(__m512i sum) {
  sum = halves(sum);  // below 2^32 + 64, so that two steps are enough
  for (int i = 0; i < 2; ++i) {
    sum = add(_mm512_and_si512(sum, all(0xffff)), _mm512_srli_epi64(sum, 16));
  }
  return sum;
}

SYNPROXY_COLUMNS __m512i each_16_bytes(__m128i pattern) { return _mm512_broadcast_i32x4(pattern); }
// Four bytes of each half the other way round: between network and host order.
SYNPROXY_COLUMNS __m512i swap_words(__m512i v) {
  return _mm512_shuffle_epi8(
      v, each_16_bytes(_mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)));
}

// Values as they lie in a frame.
constexpr std::uint64_t raw(std::uint32_t host) { return be32(host).raw(); }
constexpr std::uint64_t raw(std::uint32_t first, std::uint32_t second) {
  return raw(first) | raw(second) << 32;
}

constexpr std::uint32_t kMss = 0x02040000U;
constexpr std::uint32_t kSackAndTimestamps = 0x0402080aU;
constexpr std::uint32_t kScale = 0x01030300U;
constexpr std::uint32_t kSack = 0x01010402U;

// The bits in which all SYNs of a shape are alike.
struct Pattern {
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};

template <SynShape kShape>
constexpr std::array<Pattern, 8> patterns() {
  const std::uint32_t total = kIpv4Header + kTcpHeader + options_in(kShape);
  const std::uint32_t offset = (kTcpHeader + options_in(kShape)) / 4 << 28;
  std::array<Pattern, 8> p{};
  // Version and header length, total length; no fragment, whatever DF says.
  p[0] = {raw(0xff00ffffU, 0x00003fffU), raw(0x45000000U | total, 0)};
  p[1] = {raw(0x00ff0000U, 0), raw(kProtocolTcp << 16, 0)};
  // Offset; of the flags AE and all below it. Whoever asks for ECN is a case of its own.
  p[4] = {raw(0, 0xf1ff0000U), raw(0, offset | kSyn << 16)};
  if (kShape != SynShape::kBare) p[5] = {raw(0, 0xffff0000U), raw(0, kMss)};
  if (kShape == SynShape::kLinux) {
    p[6] = {raw(0xffffffffU, 0), raw(kSackAndTimestamps, 0)};
    p[7] = {raw(0, 0xffffff00U), raw(0, kScale)};
  }
  if (kShape == SynShape::kWindows) {
    p[6] = {raw(0xffffff00U, 0xffffffffU), raw(kScale, kSack)};
  }
  return p;
}

template <SynShape kShape>
SYNPROXY_COLUMNS __mmask8 matches(const Words& f) {
  constexpr std::array<Pattern, 8> kPatterns = patterns<kShape>();
  __mmask8 good = 0xff;
  for (std::size_t i = 0; i < 8; ++i) {
    if (kPatterns[i].mask == 0) continue;
    good = _mm512_mask_cmpeq_epi64_mask(good, _mm512_and_si512(f.w[i], all(kPatterns[i].mask)),
                                        all(kPatterns[i].value));
  }
  return good;
}

// What junk() objects to in source and ports, and a little more (surely_sound()).
SYNPROXY_COLUMNS __mmask8 sound_ends(__mmask8 good, const Words& f) {
  const __m512i first = _mm512_and_si512(high(f.w[1]), all(0xff));
  good = _mm512_mask_cmplt_epu64_mask(good, first, all(224));
  good = _mm512_mask_cmpneq_epi64_mask(good, first, all(0));
  good = _mm512_mask_cmpneq_epi64_mask(good, first, all(127));
  const __m512i ports = high(f.w[2]);
  return _mm512_mask_cmpneq_epi64_mask(good, _mm512_srli_epi64(ports, 16),
                                       _mm512_and_si512(ports, all(0xffff)));
}

template <SynShape kShape>
SYNPROXY_COLUMNS __mmask8 sums_are_good(__mmask8 good, const Words& f) {
  const __m512i ends = add(high(f.w[1]), low(f.w[2]));
  const __m512i ip = add(add(halves(f.w[0]), low(f.w[1])), ends);
  __m512i tcp = add(add(ends, high(f.w[2])), add(low(f.w[3]), halves(f.w[4])));
  tcp = add(tcp, all(raw(kProtocolTcp + kTcpHeader + options_in(kShape))));
  if constexpr (kShape == SynShape::kBare) {
    tcp = add(tcp, low(f.w[5]));
  } else {
    tcp = add(tcp, add(halves(f.w[5]), halves(f.w[6])));
  }
  if constexpr (kShape == SynShape::kLinux) tcp = add(tcp, halves(f.w[7]));
  good = _mm512_mask_cmpeq_epi64_mask(good, fold(ip), all(0xffff));
  return _mm512_mask_cmpeq_epi64_mask(good, fold(tcp), all(0xffff));
}

// pack_timestamps() or pack_plain() of what the SYN offers. Lanes that it does not fit are left
// out: scales above 14, MSS that are 0, or too small for a cookie without timestamps.
template <SynShape kShape>
SYNPROXY_COLUMNS __mmask8 pack_options(__mmask8 good, const Words& f, __m512i& packed) {
  if constexpr (kShape == SynShape::kBare) {
    packed = all(pack_plain({.mss = default_mss(false)}));
    return good;
  }
  const __m512i mss = _mm512_and_si512(high(swap_words(f.w[5])), all(0xffff));
  const std::size_t last = kShape == SynShape::kLinux ? 7 : 6;
  const __m512i words = swap_words(f.w[last]);
  const __m512i scale =
      _mm512_and_si512(kShape == SynShape::kLinux ? high(words) : words, all(0xff));
  good = _mm512_mask_cmple_epu64_mask(good, scale, all(14));
  if constexpr (kShape == SynShape::kLinux) {
    good = _mm512_mask_cmpneq_epi64_mask(good, mss, all(0));
    packed = either(either(_mm512_slli_epi64(mss, 6), _mm512_slli_epi64(scale, 2)), all(2));
  } else {
    good = _mm512_mask_cmpge_epu64_mask(good, mss, all(kLowestMssClass));
    packed = either(_mm512_slli_epi64(scale, 3), all(4));
    for (std::size_t i = 1; i < kMssClasses.size(); ++i) {
      packed = _mm512_mask_add_epi64(packed, _mm512_cmpge_epu64_mask(mss, all(kMssClasses[i])),
                                     packed, all(1));
    }
  }
  return good;
}

template <typename T>
SYNPROXY_COLUMNS void put(SynGroup::Column<T>& column, __m512i v) {
  static_assert(sizeof column == 64);
  _mm512_store_si512(column.data(), v);
}
template <typename T>
SYNPROXY_COLUMNS __m512i get(const SynGroup::Column<T>& column) {
  return _mm512_load_si512(column.data());
}

template <SynShape kShape>
SYNPROXY_KERNEL std::uint32_t verify(SynGroup& g, std::uint32_t used) {
  Words f;
  load_columns(g, kFirstHalf, f.w);
  load_columns(g, kSecondHalf, f.w + 4);
  __m512i packed;
  __mmask8 good = matches<kShape>(f);
  good = sound_ends(good, f);
  good = sums_are_good<kShape>(good, f);
  good = pack_options<kShape>(good, f, packed);
  // Client's port below the server's, host order.
  const __m512i ports = _mm512_shuffle_epi8(
      f.w[2],
      each_16_bytes(_mm_setr_epi8(5, 4, 7, 6, -1, -1, -1, -1, 13, 12, 15, 14, -1, -1, -1, -1)));
  put(g.source, f.w[1]);
  put(g.destination, f.w[2]);
  put(g.addresses, either(high(f.w[1]), up(f.w[2])));
  put(g.ports, ports);
  // service_name()
  put(g.service, either(either(low(f.w[2]), _mm512_slli_epi64(_mm512_srli_epi64(ports, 16), 32)),
                        all(1ULL << 48)));
  put(g.isn, low(swap_words(f.w[3])));
  put(g.options, packed);
  if constexpr (kShape == SynShape::kLinux) put(g.tsval, f.w[6]);
  return good & used;
}

// make_cookie()
struct Cookies {
  __m512i isn;
  __m512i tsval;
};
template <SynShape kShape>
SYNPROXY_COLUMNS Cookies cookies_of(const SynGroup& g, const LayoutKey& key, unsigned parity,
                                    __m512i offered_scale) {
  using namespace layout;
  constexpr bool kTimestamps = kShape == SynShape::kLinux;
  constexpr unsigned kOptionBits = kTimestamps ? kTsOptionBits : kPlainOptionBits;
  constexpr unsigned kTagBits = kTimestamps ? kTsTagBits : kPlainTagBits;
  detail::SipState8 sip = detail::sip_begin(all(key.k0), all(key.k1));
  detail::sip_compress(sip, get(g.addresses));
  detail::sip_compress(sip, either(get(g.ports), up(get(g.isn))));
  detail::sip_compress(sip, all(detail::length_word(2)));
  const __m512i mac = detail::sip_finish(sip);

  const __m512i options = get(g.options);
  const __m512i covered = either(options, _mm512_slli_epi64(offered_scale, kOptionBits));
  const __m512i sum = add(mac, _mm512_mullo_epi64(covered, all(key.multiplier)));
  const __m512i tag = _mm512_srli_epi64(sum, 64 - kTagBits);
  const __m512i masked =
      _mm512_xor_si512(options, _mm512_and_si512(mac, all((1ULL << kOptionBits) - 1)));
  const __m512i parities = all(parity & 1U);
  if constexpr (kTimestamps) {
    return {either(_mm512_slli_epi64(_mm512_srli_epi64(tag, kTsTagInTsval), 1), parities),
            low(either(_mm512_slli_epi64(tag, kOptionBits), masked))};
  } else {
    return {either(either(_mm512_slli_epi64(tag, 1 + kOptionBits), _mm512_slli_epi64(masked, 1)),
                   parities),
            all(0)};
  }
}

SYNPROXY_COLUMNS void swap_mac_addresses_of(std::uint8_t* frame) {
  auto* at = reinterpret_cast<__m128i*>(frame);
  const __m128i swap = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
  _mm_storeu_si128(at, _mm_shuffle_epi8(_mm_loadu_si128(at), swap));
}

template <SynShape kShape>
SYNPROXY_KERNEL void answer(const SynGroup& g, std::uint32_t lanes, const LayoutKey& key,
                            unsigned parity) {
  constexpr std::uint32_t kTcp = kTcpHeader + options_out(kShape);
  constexpr bool kScales = kShape != SynShape::kBare;
  static_assert(offsetof(SynAckOffer, mss) == 0 && offsetof(SynAckOffer, window) == 2 &&
                offsetof(SynAckOffer, window_scale) == 4);
  const __m512i offer = get(g.offers);
  const __m512i mss = _mm512_and_si512(offer, all(0xffff));
  const __m512i window = _mm512_and_si512(_mm512_srli_epi64(offer, 16), all(0xffff));
  const __m512i scale = kScales ? _mm512_and_si512(high(offer), all(0xff)) : all(kNoScale);
  const Cookies cookie = cookies_of<kShape>(g, key, parity, scale);

  // The ends change places.
  const __m512i source = high(get(g.source));
  const __m512i destination = low(get(g.destination));
  const __m512i ends = add(source, destination);
  const __m512i ports = _mm512_shuffle_epi8(
      get(g.destination),
      each_16_bytes(_mm_setr_epi8(-1, -1, -1, -1, 6, 7, 4, 5, -1, -1, -1, -1, 14, 15, 12, 13)));
  const __m512i ack = low(add(get(g.isn), all(1)));
  Words r;
  r.w[0] = all(raw(0x45000000U | (kIpv4Header + kTcp), kDontFragment));
  constexpr std::uint64_t kTtl = raw(kReplyTtl << 24 | std::uint32_t{kProtocolTcp} << 16);
  constexpr std::uint64_t kIpSum =
      raw(0x45000000U | (kIpv4Header + kTcp)) + raw(kDontFragment) + kTtl;
  const __m512i ip_sum = _mm512_andnot_si512(fold(add(ends, all(kIpSum))), all(0xffff));
  r.w[1] = either(either(all(kTtl), _mm512_slli_epi64(ip_sum, 16)), up(destination));
  r.w[2] = either(source, ports);
  r.w[3] = swap_words(either(cookie.isn, up(ack)));
  r.w[4] = swap_words(
      either(ack, up(either(all(std::uint64_t{kTcp} / 4 << 28 | (kSyn | kAck) << 16), window))));
  r.w[5] = swap_words(up(either(all(kMss), mss)));
  r.w[6] = r.w[7] = all(0);
  if constexpr (kShape == SynShape::kLinux) {
    r.w[6] = swap_words(either(all(kSackAndTimestamps), up(cookie.tsval)));
    const __m512i echo = high(get(g.tsval));  // raw
    r.w[7] = either(echo, swap_words(up(either(all(kScale), scale))));
  } else if constexpr (kShape == SynShape::kWindows) {
    r.w[6] = swap_words(either(all(kSack), up(either(all(kScale), scale))));
  }
  __m512i sum = add(add(ends, high(r.w[2])), add(low(r.w[3]), halves(r.w[4])));
  sum = add(sum, add(high(r.w[5]), all(raw(kProtocolTcp + kTcp))));
  if constexpr (kShape != SynShape::kBare) sum = add(sum, halves(r.w[6]));
  if constexpr (kShape == SynShape::kLinux) sum = add(sum, halves(r.w[7]));
  r.w[5] = either(r.w[5], _mm512_andnot_si512(fold(sum), all(0xffff)));

  for (std::size_t i = 0; i < SynGroup::kLanes; ++i) {
    if ((lanes >> i & 1U) != 0) swap_mac_addresses_of(g.frames[i]);
  }
  store_columns(g, lanes, kFirstHalf, r.w);
  store_columns(g, lanes, kSecondHalf, r.w + 4);
}

template <SynShape kShape>
constexpr SynKernel kernel() {
  return {"avx512", &verify<kShape>, &answer<kShape>};
}

constexpr SynKernels kAvx512{kernel<SynShape::kLinux>(), kernel<SynShape::kWindows>(),
                             kernel<SynShape::kBare>()};

}  // namespace

const SynKernels* syn_kernels() {
  const bool can = __builtin_cpu_supports("avx512bw") != 0 &&
                   __builtin_cpu_supports("avx512dq") != 0 &&
                   __builtin_cpu_supports("avx512vl") != 0;
  return can ? &kAvx512 : nullptr;
}

}  // namespace synproxy
#else
namespace synproxy {
const SynKernels* syn_kernels() { return nullptr; }
}  // namespace synproxy
#endif
