// SPDX-License-Identifier: BSD-3-Clause
// Eight lanes of 64 bits in two AVX2 registers; a mask has all bits or none of each lane. The
// functions mean what avx512.h says.
#pragma once

#include "../wire/intrinsics.h"

#if defined(__x86_64__)
#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"

#define SYNPROXY_ISA avx2
#define SYNPROXY_TARGET "avx2"
#define SYNPROXY_LANES __attribute__((target(SYNPROXY_TARGET), always_inline)) inline
#define SYNPROXY_LANES_LAMBDA __attribute__((target(SYNPROXY_TARGET), always_inline))
#define SYNPROXY_KERNEL static __attribute__((target(SYNPROXY_TARGET)))

namespace synproxy::avx2 {

constexpr std::size_t kLanes = 8;
struct U64x8 {
  __m256i a, b;  // lanes 0 to 3, and 4 to 7
};
struct Mask {
  __m256i a, b;
};

SYNPROXY_LANES __m256i four(std::uint64_t value) {
  return _mm256_set1_epi64x(static_cast<long long>(value));
}
SYNPROXY_LANES U64x8 all(std::uint64_t value) { return {four(value), four(value)}; }
SYNPROXY_LANES U64x8 load(const std::uint64_t* from) {
  const auto* at = reinterpret_cast<const __m256i*>(from);
  return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}
SYNPROXY_LANES void store(std::uint64_t* to, U64x8 v) {
  auto* at = reinterpret_cast<__m256i*>(to);
  _mm256_storeu_si256(at, v.a);
  _mm256_storeu_si256(at + 1, v.b);
}

// By registers: g++ copies a struct in halves of them, and a load of the whole would wait for both.
SYNPROXY_LANES void assign(U64x8& to, U64x8 v) {
  to.a = v.a;
  to.b = v.b;
}

// --- Masks.
SYNPROXY_LANES Mask operator&(Mask m, Mask n) {
  return {_mm256_and_si256(m.a, n.a), _mm256_and_si256(m.b, n.b)};
}
SYNPROXY_LANES Mask operator|(Mask m, Mask n) {
  return {_mm256_or_si256(m.a, n.a), _mm256_or_si256(m.b, n.b)};
}
SYNPROXY_LANES Mask& operator&=(Mask& m, Mask n) { return m = m & n; }
SYNPROXY_LANES Mask& operator|=(Mask& m, Mask n) { return m = m | n; }
SYNPROXY_LANES Mask operator~(Mask m) {
  const __m256i ones = four(~0ULL);
  return {_mm256_xor_si256(m.a, ones), _mm256_xor_si256(m.b, ones)};
}
SYNPROXY_LANES Mask every_if(bool set) {
  const __m256i m = four(set ? ~0ULL : 0);
  return {m, m};
}
SYNPROXY_LANES Mask choose_masks(Mask lanes, Mask otherwise, Mask value) {
  return {_mm256_blendv_epi8(otherwise.a, value.a, lanes.a),
          _mm256_blendv_epi8(otherwise.b, value.b, lanes.b)};
}
SYNPROXY_LANES std::uint32_t bits(Mask m) {
  const auto of = [](__m256i half) SYNPROXY_LANES_LAMBDA {
    return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(half)));
  };
  return of(m.a) | of(m.b) << 4;
}

SYNPROXY_LANES Mask mask_of(std::uint32_t lanes) {
  const __m256i low = _mm256_setr_epi64x(1, 2, 4, 8);
  const __m256i high = _mm256_slli_epi64(low, 4);
  return {_mm256_cmpeq_epi64(_mm256_and_si256(four(lanes), low), low),
          _mm256_cmpeq_epi64(_mm256_and_si256(four(lanes), high), high)};
}

// --- Bits of lanes.
SYNPROXY_LANES U64x8 both(U64x8 v, U64x8 w) {
  return {_mm256_and_si256(v.a, w.a), _mm256_and_si256(v.b, w.b)};
}
SYNPROXY_LANES U64x8 either(U64x8 v, U64x8 w) {
  return {_mm256_or_si256(v.a, w.a), _mm256_or_si256(v.b, w.b)};
}
SYNPROXY_LANES U64x8 exclusive(U64x8 v, U64x8 w) {
  return {_mm256_xor_si256(v.a, w.a), _mm256_xor_si256(v.b, w.b)};
}
SYNPROXY_LANES U64x8 but_not(U64x8 v, U64x8 w) {
  return {_mm256_andnot_si256(w.a, v.a), _mm256_andnot_si256(w.b, v.b)};
}
SYNPROXY_LANES U64x8 with_bits(U64x8 v, U64x8 w, std::uint64_t mask) {
  return either(v, both(w, all(mask)));
}
SYNPROXY_LANES U64x8 with_inverse(U64x8 v, U64x8 w, std::uint64_t mask) {
  return either(v, but_not(all(mask), w));
}
SYNPROXY_LANES U64x8 differing_bits(U64x8 v, U64x8 mask, U64x8 value) {
  return exclusive(both(v, mask), value);
}
template <unsigned kBits>
SYNPROXY_LANES U64x8 up_by(U64x8 v) {
  return {_mm256_slli_epi64(v.a, kBits), _mm256_slli_epi64(v.b, kBits)};
}
template <unsigned kBits>
SYNPROXY_LANES U64x8 down_by(U64x8 v) {
  return {_mm256_srli_epi64(v.a, kBits), _mm256_srli_epi64(v.b, kBits)};
}
SYNPROXY_LANES U64x8 up_by_each(U64x8 v, U64x8 by) {
  return {_mm256_sllv_epi64(v.a, by.a), _mm256_sllv_epi64(v.b, by.b)};
}
SYNPROXY_LANES U64x8 down_by_each(U64x8 v, U64x8 by) {
  return {_mm256_srlv_epi64(v.a, by.a), _mm256_srlv_epi64(v.b, by.b)};
}
SYNPROXY_LANES U64x8 shuffle_in_pairs(U64x8 v, __m128i order) {
  const __m256i twice = _mm256_broadcastsi128_si256(order);
  return {_mm256_shuffle_epi8(v.a, twice), _mm256_shuffle_epi8(v.b, twice)};
}
// There is no such instruction: two shifts, or a shuffle where whole bytes move.
template <int kBits>
SYNPROXY_LANES U64x8 rotate(U64x8 v) {
  if constexpr (kBits == 32) {
    return {_mm256_shuffle_epi32(v.a, 0xb1), _mm256_shuffle_epi32(v.b, 0xb1)};
  } else if constexpr (kBits == 16) {
    return shuffle_in_pairs(v, _mm_setr_epi8(6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13));
  } else {
    return either(up_by<kBits>(v), down_by<64 - kBits>(v));
  }
}

// --- Numbers.
SYNPROXY_LANES U64x8 add(U64x8 v, U64x8 w) {
  return {_mm256_add_epi64(v.a, w.a), _mm256_add_epi64(v.b, w.b)};
}
SYNPROXY_LANES U64x8 product_of_low(U64x8 v, U64x8 w) {
  return {_mm256_mul_epu32(v.a, w.a), _mm256_mul_epu32(v.b, w.b)};
}
SYNPROXY_LANES U64x8 product(U64x8 v, U64x8 w) {
  return add(product_of_low(v, w), up_by<32>(product_of_low(v, down_by<32>(w))));
}

// --- Choices by lane.
SYNPROXY_LANES U64x8 choose(Mask lanes, U64x8 otherwise, U64x8 value) {
  return {_mm256_blendv_epi8(otherwise.a, value.a, lanes.a),
          _mm256_blendv_epi8(otherwise.b, value.b, lanes.b)};
}
SYNPROXY_LANES U64x8 choose(Mask lanes, std::uint64_t otherwise, std::uint64_t value) {
  return choose(lanes, all(otherwise), all(value));
}
SYNPROXY_LANES U64x8 only_in(Mask lanes, U64x8 v) {
  return {_mm256_and_si256(v.a, lanes.a), _mm256_and_si256(v.b, lanes.b)};
}
SYNPROXY_LANES U64x8 add_in(Mask lanes, U64x8 v, std::uint64_t n) {
  return add(v, only_in(lanes, all(n)));
}

SYNPROXY_LANES U64x8 first_of(U64x8 v) {
  const __m256i first = _mm256_broadcastq_epi64(_mm256_castsi256_si128(v.a));
  return {first, first};
}

// --- Compares. There is none without a sign, so the order is that of numbers below 2^63.
SYNPROXY_LANES Mask equal(U64x8 v, U64x8 w) {
  return {_mm256_cmpeq_epi64(v.a, w.a), _mm256_cmpeq_epi64(v.b, w.b)};
}
SYNPROXY_LANES Mask equal(Mask of, U64x8 v, U64x8 w) { return of & equal(v, w); }
SYNPROXY_LANES Mask unequal(U64x8 v, U64x8 w) { return ~equal(v, w); }
SYNPROXY_LANES Mask unequal(Mask of, U64x8 v, U64x8 w) { return of & ~equal(v, w); }
SYNPROXY_LANES Mask above(U64x8 v, std::uint64_t n) {
  return {_mm256_cmpgt_epi64(v.a, four(n)), _mm256_cmpgt_epi64(v.b, four(n))};
}
SYNPROXY_LANES Mask above(Mask of, U64x8 v, std::uint64_t n) { return of & above(v, n); }
SYNPROXY_LANES Mask below(U64x8 v, std::uint64_t n) {
  return {_mm256_cmpgt_epi64(four(n), v.a), _mm256_cmpgt_epi64(four(n), v.b)};
}
SYNPROXY_LANES Mask below(Mask of, U64x8 v, std::uint64_t n) { return of & below(v, n); }
SYNPROXY_LANES Mask at_least(U64x8 v, std::uint64_t n) { return above(v, n - 1); }
SYNPROXY_LANES Mask at_least(Mask of, U64x8 v, std::uint64_t n) { return of & at_least(v, n); }
SYNPROXY_LANES Mask at_least(Mask of, U64x8 v, U64x8 w) {
  return of & ~Mask{_mm256_cmpgt_epi64(w.a, v.a), _mm256_cmpgt_epi64(w.b, v.b)};
}
SYNPROXY_LANES Mask at_most(Mask of, U64x8 v, std::uint64_t n) { return below(of, v, n + 1); }
SYNPROXY_LANES Mask no_bit(U64x8 v, U64x8 w) { return equal(both(v, w), all(0)); }
SYNPROXY_LANES Mask any_bit(U64x8 v, U64x8 w) { return ~no_bit(v, w); }
SYNPROXY_LANES Mask any_bit(Mask of, U64x8 v, U64x8 w) { return of & ~no_bit(v, w); }

SYNPROXY_LANES U64x8 no_more_in(Mask lanes, U64x8 v, std::uint64_t n) {
  return choose(above(lanes, v, n), v, all(n));
}

// --- Tables.
struct Index {
  U64x8 words;  // both halves of a lane, in the half of the table
  U64x8 upper;  // the sign: in the upper half
};
SYNPROXY_LANES Index index_of(U64x8 v) {
  const U64x8 first = up_by<1>(both(v, all(3)));
  return {either(first, up_by<32>(add(first, all(1)))), up_by<61>(v)};
}
SYNPROXY_LANES __m256i look_up_four(__m256i low, __m256i high, __m256i words, __m256i upper) {
  const __m256i of_low = _mm256_permutevar8x32_epi32(low, words);
  const __m256i of_high = _mm256_permutevar8x32_epi32(high, words);
  return _mm256_castpd_si256(_mm256_blendv_pd(
      _mm256_castsi256_pd(of_low), _mm256_castsi256_pd(of_high), _mm256_castsi256_pd(upper)));
}
SYNPROXY_LANES U64x8 look_up(const std::array<std::uint64_t, 8>& table, const Index& index) {
  const U64x8 t = load(table.data());
  return {look_up_four(t.a, t.b, index.words.a, index.upper.a),
          look_up_four(t.a, t.b, index.words.b, index.upper.b)};
}
SYNPROXY_LANES U64x8 look_up(const std::array<std::uint8_t, 16>& table, U64x8 index) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.data()));
  const __m256i twice = _mm256_broadcastsi128_si256(bytes);
  const U64x8 order = either(index, all(~0xffULL));
  return {_mm256_shuffle_epi8(twice, order.a), _mm256_shuffle_epi8(twice, order.b)};
}

// --- Bytes.
constexpr std::uint64_t whole_bytes(std::uint8_t bytes) {
  std::uint64_t mask = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if ((bytes >> i & 1) != 0) mask |= 0xffULL << 8 * i;
  }
  return mask;
}
template <std::uint8_t kBytes>
SYNPROXY_LANES U64x8 choose_bytes(U64x8 otherwise, U64x8 value) {
  const __m256i chosen = four(whole_bytes(kBytes));
  return choose({chosen, chosen}, otherwise, value);
}
template <std::uint8_t kBytes>
SYNPROXY_LANES U64x8 larger_bytes(U64x8 otherwise, U64x8 v, U64x8 w) {
  return choose_bytes<kBytes>(otherwise, {_mm256_max_epu8(v.a, w.a), _mm256_max_epu8(v.b, w.b)});
}

// --- Memory.
SYNPROXY_LANES __m256i load_two_halves(const void* low, const void* high) {
  const __m128i v = _mm_loadu_si128(static_cast<const __m128i*>(low));
  const __m128i w = _mm_loadu_si128(static_cast<const __m128i*>(high));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(v), w, 1);
}
template <typename Rows>
SYNPROXY_LANES U64x8 load_each(const Rows& row, std::size_t offset) {
  const auto word = [&](std::size_t i)
                        SYNPROXY_LANES_LAMBDA { return load_raw<long long>(row[i] + offset); };
  return {_mm256_setr_epi64x(word(0), word(1), word(2), word(3)),
          _mm256_setr_epi64x(word(4), word(5), word(6), word(7))};
}
template <typename Rows>
SYNPROXY_LANES void load_two_columns(const Rows& row, std::size_t offset, U64x8* w) {
  const __m256i v[4] = {load_two_halves(row[0] + offset, row[2] + offset),
                        load_two_halves(row[1] + offset, row[3] + offset),
                        load_two_halves(row[4] + offset, row[6] + offset),
                        load_two_halves(row[5] + offset, row[7] + offset)};
  w[0] = {_mm256_unpacklo_epi64(v[0], v[1]), _mm256_unpacklo_epi64(v[2], v[3])};
  w[1] = {_mm256_unpackhi_epi64(v[0], v[1]), _mm256_unpackhi_epi64(v[2], v[3])};
}
// By halves of rows, because a load into the upper half of a register is no shuffle.
template <typename Rows>
SYNPROXY_LANES void load_columns(const Rows& row, std::size_t offset, U64x8* w) {
  load_two_columns(row, offset, w);
  load_two_columns(row, offset + 16, w + 2);
}

template <bool kAll, typename Rows>
SYNPROXY_LANES void store_columns(const Rows& row, std::uint32_t lanes, std::size_t offset,
                                  const U64x8* w) {
  for (std::size_t part = 0; part < 2; ++part) {
    const auto of = [&](std::size_t k)
                        SYNPROXY_LANES_LAMBDA { return part == 0 ? w[k].a : w[k].b; };
    const __m256i low[2] = {_mm256_unpacklo_epi64(of(0), of(1)),
                            _mm256_unpackhi_epi64(of(0), of(1))};
    const __m256i high[2] = {_mm256_unpacklo_epi64(of(2), of(3)),
                             _mm256_unpackhi_epi64(of(2), of(3))};
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t lane = 4 * part + i;
      if (!kAll && (lanes >> lane & 1U) == 0) continue;
      const __m256i v = i < 2 ? _mm256_permute2x128_si256(low[i % 2], high[i % 2], 0x20)
                              : _mm256_permute2x128_si256(low[i % 2], high[i % 2], 0x31);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row[lane] + offset), v);
    }
  }
}

struct WordPair {
  U64x8 even, odd;
};
SYNPROXY_LANES WordPair load_pairs(const std::uint64_t* first, std::size_t stride) {
  const auto every_second = [&](std::size_t i) SYNPROXY_LANES_LAMBDA {
    return load_two_halves(first + i * stride, first + (i + 2) * stride);
  };
  const __m256i v[4] = {every_second(0), every_second(1), every_second(4), every_second(5)};
  return {{_mm256_unpacklo_epi64(v[0], v[1]), _mm256_unpacklo_epi64(v[2], v[3])},
          {_mm256_unpackhi_epi64(v[0], v[1]), _mm256_unpackhi_epi64(v[2], v[3])}};
}

SYNPROXY_LANES __m256i sum_of_words(__m256i v) {
  return _mm256_add_epi64(_mm256_and_si256(v, four(0xffffffffU)), _mm256_srli_epi64(v, 32));
}
// Before 16 words that count as zeros, 16 that count.
inline constexpr std::array<std::int32_t, 32> kCounted = [] {
  std::array<std::int32_t, 32> words{};
  for (std::size_t i = 0; i < 16; ++i) words[i] = -1;
  return words;
}();
SYNPROXY_LANES __m256i load_counted(const std::uint8_t* from, std::size_t words, std::size_t skip) {
  const auto* counted = reinterpret_cast<const __m256i*>(kCounted.data() + 16 - words + skip);
  return _mm256_maskload_epi32(reinterpret_cast<const int*>(from + 4 * skip),
                               _mm256_loadu_si256(counted));
}
SYNPROXY_LANES U64x8 sums_of_bytes(const std::array<const std::uint8_t*, kLanes>& from,
                                   const std::array<std::uint64_t, kLanes>& length) {
  alignas(32) std::array<std::uint64_t, kLanes> rest;  // what is left over of whole words
  __m256i part[2];
  for (std::size_t p = 0; p < 2; ++p) {
    __m256i r[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t* bytes = from[4 * p + i];
      const std::size_t size = length[4 * p + i];
      const std::uint64_t last = load_raw<std::uint32_t>(bytes + size - 4);
      rest[4 * p + i] = last >> (32 - 8 * (size % 4));
      r[i] = _mm256_add_epi64(sum_of_words(load_counted(bytes, size / 4, 0)),
                              sum_of_words(load_counted(bytes, size / 4, 8)));
    }
    const __m256i v =
        _mm256_add_epi64(_mm256_unpacklo_epi64(r[0], r[1]), _mm256_unpackhi_epi64(r[0], r[1]));
    const __m256i w =
        _mm256_add_epi64(_mm256_unpacklo_epi64(r[2], r[3]), _mm256_unpackhi_epi64(r[2], r[3]));
    part[p] = _mm256_add_epi64(_mm256_permute2x128_si256(v, w, 0x20),
                               _mm256_permute2x128_si256(v, w, 0x31));
  }
  return add({part[0], part[1]}, load(rest.data()));
}

// Bit i: byte i of the 32 before `end`.
SYNPROXY_LANES std::uint64_t bytes_equal(const std::uint8_t* end, std::uint8_t value) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(end - 32));
  const __m256i equal = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(static_cast<char>(value)));
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(equal));
}
SYNPROXY_LANES bool has_pair(const std::uint8_t* from, std::size_t size, std::uint8_t first,
                             std::uint8_t second) {
  const std::uint8_t* end = from + size;
  std::uint64_t firsts = bytes_equal(end, first) << 32;
  std::uint64_t seconds = bytes_equal(end, second) << 32;
  if (size > 32) {
    firsts |= bytes_equal(end - 32, first);
    seconds |= bytes_equal(end - 32, second);
  }
  const std::uint64_t there = size == 0 ? 0 : ~0ULL << (64 - size);
  return ((firsts & there) << 1 & seconds) != 0;
}

}  // namespace synproxy::avx2
#endif
