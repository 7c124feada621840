// SPDX-License-Identifier: BSD-3-Clause
// Columns in AVX-512 registers. A frame is read as two halves of 32 bytes (columns.h), which are
// eight 64-bit words. Register k holds word k of eight frames. The table shows the content of each
// word, in byte order, for at most 20 bytes of options; with 24 bytes the second half begins 32
// bits later; with IPv6 the words 0 and 1 and half of 2 hold the end of the IP header
// (columns_ipv6_avx512.h):
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
// 1071 section 2), so columns are summed by halves of 32 bits as they lie there. Only for code that
// runs where supported() is true.
#pragma once

#include "../cookie/siphash_avx512.h"
#include "burst/columns.h"
#include "synproxy/policy/junk.h"
#include "synproxy/wire/bytes.h"

#if defined(__x86_64__)
#define SYNPROXY_COLUMNS \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), always_inline)) inline
// For a lambda, behind its arguments. Its body may use only what is inlined.
#define SYNPROXY_COLUMNS_LAMBDA \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), always_inline))
#define SYNPROXY_KERNEL __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

namespace synproxy::columns {

[[nodiscard]] inline bool supported() {
  return __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}

using detail::add;
using detail::all;

// `value` in `lanes`, `otherwise` in the others.
SYNPROXY_COLUMNS __m512i choose(__mmask8 lanes, __m512i otherwise, __m512i value) {
  return _mm512_mask_mov_epi64(otherwise, lanes, value);
}
SYNPROXY_COLUMNS __m512i choose(__mmask8 lanes, std::uint64_t otherwise, std::uint64_t value) {
  return choose(lanes, all(otherwise), all(value));
}
SYNPROXY_COLUMNS __mmask8 choose_bits(__mmask8 lanes, __mmask8 otherwise, __mmask8 value) {
  return static_cast<__mmask8>((otherwise & ~lanes) | (value & lanes));
}

constexpr std::size_t kWords = 8;
struct Words {
  __m512i w[kWords];
};

// Offset in the frame at which register `word` begins.
constexpr std::size_t begin_of(std::size_t word, std::size_t second) {
  constexpr std::size_t kInHalf = kWords / 2;
  return word < kInHalf ? kFirstHalf + 8 * word : second + 8 * (word - kInHalf);
}
// The register that holds the 32 bits at byte `at` of the frame, and which half of it.
struct Place {
  std::size_t word;
  bool upper;
};
constexpr Place place_of(std::size_t at, std::size_t second) {
  for (std::size_t word = 0; word < kWords; ++word) {
    const std::size_t begin = begin_of(word, second);
    if (at == begin || at == begin + 4) return {word, at != begin};
  }
  return {kWords, false};
}

SYNPROXY_COLUMNS __m512i load_half_of_two(const std::uint8_t* low, const std::uint8_t* high) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

// The frames are paired so that the lanes come out in the order of the frames.
SYNPROXY_COLUMNS void load_columns(const Columns& g, std::size_t offset, __m512i* w) {
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

// Stores lane by lane, because a lane that is not answered keeps its frame.
template <bool kAll>
SYNPROXY_COLUMNS void store_columns(const Columns& g, std::uint32_t lanes, std::size_t offset,
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
    if (kAll || (lanes >> lane & 1U) != 0) {
      store_half(g.frames[lane] + offset, _mm512_castsi512_si256(rows[i]));
    }
    if (kAll || (lanes >> (lane + 2) & 1U) != 0) {
      store_half(g.frames[lane + 2] + offset, _mm512_extracti64x4_epi64(rows[i], 1));
    }
  }
}

SYNPROXY_COLUMNS __m512i low(__m512i v) { return _mm512_and_si512(v, all(0xffffffffU)); }
SYNPROXY_COLUMNS __m512i high(__m512i v) { return _mm512_srli_epi64(v, 32); }
SYNPROXY_COLUMNS __m512i up(__m512i v) { return _mm512_slli_epi64(v, 32); }
SYNPROXY_COLUMNS __m512i either(__m512i a, __m512i b) { return _mm512_or_si512(a, b); }
SYNPROXY_COLUMNS __m512i halves(__m512i v) { return add(low(v), high(v)); }

// Folds sums of a few dozen 32-bit words to 16 bits. The result is 0 only for a sum of 0.
SYNPROXY_COLUMNS __m512i fold(__m512i sum) {
  sum = halves(sum);  // below 2^32 + 64, so that two steps are enough
  for (int i = 0; i < 2; ++i) {
    sum = add(_mm512_and_si512(sum, all(0xffff)), _mm512_srli_epi64(sum, 16));
  }
  return sum;
}

SYNPROXY_COLUMNS __m512i each_16_bytes(__m128i pattern) { return _mm512_broadcast_i32x4(pattern); }
// Reverses the four bytes of each half: converts between network and host order.
SYNPROXY_COLUMNS __m512i swap_words(__m512i v) {
  return _mm512_shuffle_epi8(
      v, each_16_bytes(_mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)));
}

// Values as they lie in a frame.
constexpr std::uint64_t raw(std::uint32_t host) { return be32(host).raw(); }
constexpr std::uint64_t raw(std::uint32_t first, std::uint32_t second) {
  return raw(first) | raw(second) << 32;
}

// The 32 bits at byte kAt of the frame, in host order, under `mask`.
template <std::size_t kAt, std::size_t kSecond>
SYNPROXY_COLUMNS __m512i number_at(const Words& f, std::uint32_t mask) {
  constexpr Place kPlace = place_of(kAt, kSecond);
  static_assert(kPlace.word < kWords);
  const __m512i words = swap_words(f.w[kPlace.word]);
  if constexpr (kPlace.upper) {
    return mask == ~0U ? high(words) : _mm512_and_si512(high(words), all(mask));
  } else {
    return _mm512_and_si512(words, all(mask));
  }
}
// The value of the option word at byte kAt.
template <OptionWord kWord, std::size_t kAt, std::size_t kSecond>
SYNPROXY_COLUMNS __m512i option_value(const Words& f) {
  return number_at<kAt, kSecond>(f, ~form_of(kWord).mask);
}

// The 32 bits at byte kAt, as they lie in the frame.
template <std::size_t kAt, std::size_t kSecond>
SYNPROXY_COLUMNS __m512i raw_at(const Words& f) {
  constexpr Place kPlace = place_of(kAt, kSecond);
  static_assert(kPlace.word < kWords);
  return kPlace.upper ? high(f.w[kPlace.word]) : low(f.w[kPlace.word]);
}
// The sum of the 32-bit words from byte kFrom to byte kTo.
template <std::size_t kFrom, std::size_t kTo, std::size_t kSecond>
SYNPROXY_COLUMNS __m512i sum_of(const Words& f) {
  // Recursive instead of a loop, because each step compiles to different code.
  if constexpr (kFrom + 4 == kTo) {
    return raw_at<kFrom, kSecond>(f);
  } else {
    return add(raw_at<kFrom, kSecond>(f), sum_of<kFrom + 4, kTo, kSecond>(f));
  }
}

using Patterns = std::array<Pattern<std::uint64_t>, kWords>;
constexpr Patterns patterns_of(const FramePattern& frame, std::size_t second) {
  Patterns p{};
  for (std::size_t i = 0; i < kWords; ++i) p[i] = frame.word<std::uint64_t>(begin_of(i, second));
  return p;
}

// Collects the differences and compares once. A compare under the mask of the one before it would
// wait for that one.
SYNPROXY_COLUMNS __mmask8 matches(const Patterns& patterns, const Words& f) {
  constexpr int kAndThenXor = (0xf0 & 0xcc) ^ 0xaa;  // (word & mask) ^ value
  __m512i difference = _mm512_setzero_si512();
  for (std::size_t i = 0; i < kWords; ++i) {
    if (patterns[i].mask == 0) continue;
    difference = either(difference, _mm512_ternarylogic_epi64(f.w[i], all(patterns[i].mask),
                                                              all(patterns[i].value), kAndThenXor));
  }
  return _mm512_testn_epi64_mask(difference, difference);
}

// Reads the words of frames whose TCP header lies `shift` bytes further on.
template <std::size_t kSecond>
SYNPROXY_COLUMNS void load_words(const Columns& g, std::size_t shift, Words& f) {
  load_columns(g, kFirstHalf + shift, f.w);
  load_columns(g, kSecond + shift, f.w + kWords / 2);
}

// Keeps the lanes whose ports junk() accepts for certain. Equal ports are left to junk() itself.
SYNPROXY_COLUMNS __mmask8 sound_ports(__mmask8 good, const Words& f) {
  const __m512i ports = high(f.w[2]);
  return _mm512_mask_cmpneq_epi64_mask(good, _mm512_srli_epi64(ports, 16),
                                       _mm512_and_si512(ports, all(0xffff)));
}
// The same of source and ports.
SYNPROXY_COLUMNS __mmask8 sound_ends(__mmask8 good, const Words& f) {
  const __m512i source = high(f.w[1]);
  __mmask8 impossible = 0;
  for (const Ipv4Prefix& p : kImpossibleIpv4) {
    const __m512i prefix = p.mask == ~0U ? source : _mm512_and_si512(source, all(p.mask));
    impossible |= _mm512_cmpeq_epi64_mask(prefix, all(p.value));
  }
  return sound_ports(good & static_cast<__mmask8>(~impossible), f);
}

template <typename T>
SYNPROXY_COLUMNS void put(Columns::Column<T>& column, __m512i v) {
  static_assert(sizeof column == 64);
  _mm512_store_si512(column.data(), v);
}
template <typename T>
SYNPROXY_COLUMNS __m512i get(const Columns::Column<T>& column) {
  return _mm512_load_si512(column.data());
}

// Fills the columns by which the engine looks a frame up. `addresses`: as FlowIdentity has them.
SYNPROXY_COLUMNS void put_ends(Columns& c, const Words& f, __m512i addresses,
                               std::uint64_t name_bits) {
  // In host order, the client's port in the lower half.
  const __m512i ports = _mm512_shuffle_epi8(
      f.w[2],
      each_16_bytes(_mm_setr_epi8(5, 4, 7, 6, -1, -1, -1, -1, 13, 12, 15, 14, -1, -1, -1, -1)));
  put(c.addresses, addresses);
  put(c.ports, ports);
  // Does what service_name() does.
  put(c.service,
      either(either(high(addresses), _mm512_slli_epi64(_mm512_srli_epi64(ports, 16), 32)),
             all(name_bits)));
}
SYNPROXY_COLUMNS void put_ends(Columns& c, const Words& f) {
  put_ends(c, f, either(high(f.w[1]), up(f.w[2])), 1ULL << 48);
}

// Does what siphash24() does with cookie_mac_input(), for IPv4.
SYNPROXY_COLUMNS __m512i macs_of(const Columns& c, __m512i client_isn, __m512i k0, __m512i k1) {
  detail::SipState8 sip = detail::sip_begin(k0, k1);
  detail::sip_compress(sip, get(c.addresses));
  detail::sip_compress(sip, either(get(c.ports), up(client_isn)));
  detail::sip_compress(sip, all(detail::length_word(2)));
  return detail::sip_finish(sip);
}

// Does what cover_vlan() does.
SYNPROXY_COLUMNS __m512i covering_vlan(__m512i mac, __m512i vlan, __m512i k0, __m512i k1) {
  const __mmask8 tagged = _mm512_test_epi64_mask(vlan, vlan);
  if (tagged == 0) return mac;
  detail::SipState8 sip = detail::sip_begin(k0, k1);
  detail::sip_compress(sip, mac);
  detail::sip_compress(sip, vlan);
  detail::sip_compress(sip, all(0));
  detail::sip_compress(sip, all(detail::length_word(3)));
  return _mm512_mask_mov_epi64(mac, tagged, detail::sip_finish(sip));
}
// The same where no lane may have tags.
SYNPROXY_COLUMNS __m512i covering_tags(const Columns& c, __m512i mac, __m512i k0, __m512i k1) {
  if (!c.tagged) [[likely]] {
    return mac;
  }
  return covering_vlan(mac, get(c.vlan), k0, k1);
}

}  // namespace synproxy::columns
#endif
