// SPDX-License-Identifier: BSD-3-Clause
// Eight lanes of 64 bits in one AVX-512 register; a mask has a bit for each lane. avx2.h says the
// same in AVX2, function by function. The operators of masks are those of bits.
//
// Theory of operation. A kernel is written once, against these functions, in a header and in
// namespace synproxy::SYNPROXY_ISA. One source for each instruction set includes avx512.h or avx2.h
// first, then the kernel. The namespaces keep both apart, and every function is inlined into one
// that is compiled for the instruction set, so nothing of it gets into other objects. Only code
// that asks cpu_vectors() may call a kernel.
#pragma once

#include "../wire/intrinsics.h"

#if defined(__x86_64__)
#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"

#define SYNPROXY_ISA avx512
#define SYNPROXY_TARGET "avx512f,avx512bw,avx512dq,avx512vl"
#define SYNPROXY_LANES __attribute__((target(SYNPROXY_TARGET), always_inline)) inline
// For a lambda, behind its arguments. Its body may use only what is inlined.
#define SYNPROXY_LANES_LAMBDA __attribute__((target(SYNPROXY_TARGET), always_inline))
#define SYNPROXY_KERNEL static __attribute__((target(SYNPROXY_TARGET)))

namespace synproxy::avx512 {

constexpr std::size_t kLanes = 8;
using U64x8 = __m512i;
using Mask = __mmask8;

SYNPROXY_LANES U64x8 all(std::uint64_t value) {
  return _mm512_set1_epi64(static_cast<long long>(value));
}
SYNPROXY_LANES U64x8 load(const std::uint64_t* from) { return _mm512_loadu_si512(from); }
SYNPROXY_LANES void store(std::uint64_t* to, U64x8 v) { _mm512_storeu_si512(to, v); }

// For an array, which stays in memory.
SYNPROXY_LANES void assign(U64x8& to, U64x8 v) { to = v; }

// --- Masks.
SYNPROXY_LANES Mask every_if(bool set) { return set ? 0xff : 0; }
SYNPROXY_LANES Mask choose_masks(Mask lanes, Mask otherwise, Mask value) {
  return static_cast<Mask>((otherwise & ~lanes) | (value & lanes));
}
// Bit i: lane i.
SYNPROXY_LANES std::uint32_t bits(Mask m) { return m; }
SYNPROXY_LANES Mask mask_of(std::uint32_t bits) { return static_cast<Mask>(bits); }

// --- Bits of lanes.
SYNPROXY_LANES U64x8 both(U64x8 a, U64x8 b) { return _mm512_and_si512(a, b); }
SYNPROXY_LANES U64x8 either(U64x8 a, U64x8 b) { return _mm512_or_si512(a, b); }
SYNPROXY_LANES U64x8 exclusive(U64x8 a, U64x8 b) { return _mm512_xor_si512(a, b); }
SYNPROXY_LANES U64x8 but_not(U64x8 a, U64x8 b) { return _mm512_andnot_si512(b, a); }  // a & ~b
// a | (b & mask)
SYNPROXY_LANES U64x8 with_bits(U64x8 a, U64x8 b, std::uint64_t mask) {
  return _mm512_ternarylogic_epi64(a, b, all(mask), 0xf8);
}
// a | (~b & mask)
SYNPROXY_LANES U64x8 with_inverse(U64x8 a, U64x8 b, std::uint64_t mask) {
  return _mm512_ternarylogic_epi64(a, b, all(mask), 0xf2);
}
// Those of (v & mask) that are not those of `value`.
SYNPROXY_LANES U64x8 differing_bits(U64x8 v, U64x8 mask, U64x8 value) {
  return _mm512_ternarylogic_epi64(v, mask, value, (0xf0 & 0xcc) ^ 0xaa);
}
template <unsigned kBits>
SYNPROXY_LANES U64x8 up_by(U64x8 v) {
  return _mm512_slli_epi64(v, kBits);
}
template <unsigned kBits>
SYNPROXY_LANES U64x8 down_by(U64x8 v) {
  return _mm512_srli_epi64(v, kBits);
}
SYNPROXY_LANES U64x8 up_by_each(U64x8 v, U64x8 by) { return _mm512_sllv_epi64(v, by); }
SYNPROXY_LANES U64x8 down_by_each(U64x8 v, U64x8 by) { return _mm512_srlv_epi64(v, by); }
template <int kBits>
SYNPROXY_LANES U64x8 rotate(U64x8 v) {
  return _mm512_rol_epi64(v, kBits);
}

// --- Numbers.
SYNPROXY_LANES U64x8 add(U64x8 a, U64x8 b) {
  return reinterpret_cast<__m512i>(reinterpret_cast<__v8du>(a) + reinterpret_cast<__v8du>(b));
}
// The lower 64 bits of it. `a`: below 2^32.
SYNPROXY_LANES U64x8 product(U64x8 a, U64x8 b) { return _mm512_mullo_epi64(a, b); }

// --- Choices by lane.
SYNPROXY_LANES U64x8 choose(Mask lanes, U64x8 otherwise, U64x8 value) {
  return _mm512_mask_mov_epi64(otherwise, lanes, value);
}
SYNPROXY_LANES U64x8 choose(Mask lanes, std::uint64_t otherwise, std::uint64_t value) {
  return choose(lanes, all(otherwise), all(value));
}
// `v` in `lanes`, 0 in the others.
SYNPROXY_LANES U64x8 only_in(Mask lanes, U64x8 v) { return _mm512_maskz_mov_epi64(lanes, v); }
SYNPROXY_LANES U64x8 add_in(Mask lanes, U64x8 v, std::uint64_t n) {
  return _mm512_mask_add_epi64(v, lanes, v, all(n));
}

// In `lanes` at most n.
SYNPROXY_LANES U64x8 no_more_in(Mask lanes, U64x8 v, std::uint64_t n) {
  return _mm512_mask_min_epu64(v, lanes, v, all(n));
}

// The first lane, in all lanes.
SYNPROXY_LANES U64x8 first_of(U64x8 v) {
  return _mm512_broadcastq_epi64(_mm512_castsi512_si128(v));
}

// --- Compares. With `of`: lanes of it. Order: of numbers below 2^63.
SYNPROXY_LANES Mask equal(U64x8 a, U64x8 b) { return _mm512_cmpeq_epi64_mask(a, b); }
SYNPROXY_LANES Mask equal(Mask of, U64x8 a, U64x8 b) {
  return _mm512_mask_cmpeq_epi64_mask(of, a, b);
}
SYNPROXY_LANES Mask unequal(U64x8 a, U64x8 b) { return _mm512_cmpneq_epi64_mask(a, b); }
SYNPROXY_LANES Mask unequal(Mask of, U64x8 a, U64x8 b) {
  return _mm512_mask_cmpneq_epi64_mask(of, a, b);
}
SYNPROXY_LANES Mask above(U64x8 v, std::uint64_t n) { return _mm512_cmpgt_epu64_mask(v, all(n)); }
SYNPROXY_LANES Mask above(Mask of, U64x8 v, std::uint64_t n) {
  return _mm512_mask_cmpgt_epu64_mask(of, v, all(n));
}
SYNPROXY_LANES Mask below(U64x8 v, std::uint64_t n) { return _mm512_cmplt_epu64_mask(v, all(n)); }
SYNPROXY_LANES Mask below(Mask of, U64x8 v, std::uint64_t n) {
  return _mm512_mask_cmplt_epu64_mask(of, v, all(n));
}
SYNPROXY_LANES Mask at_least(U64x8 v, std::uint64_t n) {
  return _mm512_cmpge_epu64_mask(v, all(n));
}
SYNPROXY_LANES Mask at_least(Mask of, U64x8 a, U64x8 b) {
  return _mm512_mask_cmpge_epu64_mask(of, a, b);
}
SYNPROXY_LANES Mask at_least(Mask of, U64x8 v, std::uint64_t n) {
  return _mm512_mask_cmpge_epu64_mask(of, v, all(n));
}
SYNPROXY_LANES Mask at_most(Mask of, U64x8 v, std::uint64_t n) {
  return _mm512_mask_cmple_epu64_mask(of, v, all(n));
}
// Whether they have any bit, or no bit, in common.
SYNPROXY_LANES Mask any_bit(U64x8 a, U64x8 b) { return _mm512_test_epi64_mask(a, b); }
SYNPROXY_LANES Mask any_bit(Mask of, U64x8 a, U64x8 b) {
  return _mm512_mask_test_epi64_mask(of, a, b);
}
SYNPROXY_LANES Mask no_bit(U64x8 a, U64x8 b) { return _mm512_testn_epi64_mask(a, b); }

// --- Tables. `index`: below their size.
struct Index {
  U64x8 lane;
};
SYNPROXY_LANES Index index_of(U64x8 v) { return {v}; }
SYNPROXY_LANES U64x8 look_up(const std::array<std::uint64_t, 8>& table, const Index& index) {
  return _mm512_permutexvar_epi64(index.lane, load(table.data()));
}
SYNPROXY_LANES U64x8 look_up(const std::array<std::uint8_t, 16>& table, U64x8 index) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.data()));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), either(index, all(~0xffULL)));
}

// --- Bytes. Bit i of kBytes: byte i of each lane.
constexpr std::uint64_t in_each_lane(std::uint8_t bytes) { return 0x0101010101010101ULL * bytes; }
template <std::uint8_t kBytes>
SYNPROXY_LANES U64x8 choose_bytes(U64x8 otherwise, U64x8 value) {
  return _mm512_mask_mov_epi8(otherwise, in_each_lane(kBytes), value);
}
// The larger one of each.
template <std::uint8_t kBytes>
SYNPROXY_LANES U64x8 larger_bytes(U64x8 otherwise, U64x8 a, U64x8 b) {
  return _mm512_mask_max_epu8(otherwise, in_each_lane(kBytes), a, b);
}
// Each two lanes as one register.
SYNPROXY_LANES U64x8 shuffle_in_pairs(U64x8 v, __m128i order) {
  return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
}

// --- Memory.
SYNPROXY_LANES U64x8 load_two_rows(const std::uint8_t* low, const std::uint8_t* high) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high));
  return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}
// Lane i: eight bytes of row i.
template <typename Rows>
SYNPROXY_LANES U64x8 load_each(const Rows& row, std::size_t offset) {
  const auto word = [&](std::size_t i)
                        SYNPROXY_LANES_LAMBDA { return load_raw<long long>(row[i] + offset); };
  return _mm512_setr_epi64(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
}
// Four words of each row, from `offset` on: lane i of w[k] is word k of row i.
template <typename Rows>
SYNPROXY_LANES void load_columns(const Rows& row, std::size_t offset, U64x8* w) {
  // The rows are paired so that the lanes come out in their order.
  const U64x8 a = load_two_rows(row[0] + offset, row[2] + offset);
  const U64x8 b = load_two_rows(row[1] + offset, row[3] + offset);
  const U64x8 c = load_two_rows(row[4] + offset, row[6] + offset);
  const U64x8 d = load_two_rows(row[5] + offset, row[7] + offset);
  const U64x8 even_ab = _mm512_unpacklo_epi64(a, b);
  const U64x8 odd_ab = _mm512_unpackhi_epi64(a, b);
  const U64x8 even_cd = _mm512_unpacklo_epi64(c, d);
  const U64x8 odd_cd = _mm512_unpackhi_epi64(c, d);
  w[0] = _mm512_shuffle_i64x2(even_ab, even_cd, 0x88);
  w[1] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0x88);
  w[2] = _mm512_shuffle_i64x2(even_ab, even_cd, 0xdd);
  w[3] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0xdd);
}

// The same of two words.
template <typename Rows>
SYNPROXY_LANES void load_two_columns(const Rows& row, std::size_t offset, U64x8* w) {
  const auto pairs = [&](std::size_t first) SYNPROXY_LANES_LAMBDA {
    const auto pair = [&](std::size_t i) SYNPROXY_LANES_LAMBDA {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row[first + i] + offset));
    };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(0)), pair(2), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(4)), pair(6), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  };
  const U64x8 even = pairs(0);
  const U64x8 odd = pairs(1);
  w[0] = _mm512_unpacklo_epi64(even, odd);
  w[1] = _mm512_unpackhi_epi64(even, odd);
}

SYNPROXY_LANES void store_row(std::uint8_t* at, __m256i row) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), row);
}
// The way back, for the rows of `lanes`; kAll: for all.
template <bool kAll, typename Rows>
SYNPROXY_LANES void store_columns(const Rows& row, std::uint32_t lanes, std::size_t offset,
                                  const U64x8* w) {
  const U64x8 even_low = _mm512_unpacklo_epi64(w[0], w[1]);
  const U64x8 odd_low = _mm512_unpackhi_epi64(w[0], w[1]);
  const U64x8 even_high = _mm512_unpacklo_epi64(w[2], w[3]);
  const U64x8 odd_high = _mm512_unpackhi_epi64(w[2], w[3]);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const U64x8 rows[4] = {_mm512_permutex2var_epi64(even_low, first, even_high),   // 0, 2
                         _mm512_permutex2var_epi64(odd_low, first, odd_high),     // 1, 3
                         _mm512_permutex2var_epi64(even_low, second, even_high),  // 4, 6
                         _mm512_permutex2var_epi64(odd_low, second, odd_high)};   // 5, 7
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t lane = i / 2 * 4 + i % 2;
    if (kAll || (lanes >> lane & 1U) != 0) {
      store_row(row[lane] + offset, _mm512_castsi512_si256(rows[i]));
    }
    if (kAll || (lanes >> (lane + 2) & 1U) != 0) {
      store_row(row[lane + 2] + offset, _mm512_extracti64x4_epi64(rows[i], 1));
    }
  }
}

SYNPROXY_LANES U64x8 every_second_pair(const std::uint64_t* first, std::size_t stride) {
  const auto pair = [&](std::size_t i) SYNPROXY_LANES_LAMBDA {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(first + 2 * i * stride));
  };
  U64x8 v = _mm512_castsi128_si512(pair(0));
  v = _mm512_inserti32x4(v, pair(1), 1);
  v = _mm512_inserti32x4(v, pair(2), 2);
  return _mm512_inserti32x4(v, pair(3), 3);
}
// Two neighbouring words of each of eight places, `stride` words apart. Not a gather: with the
// microcode that guards gathers against data sampling, they cost more than a hash.
struct WordPair {
  U64x8 even, odd;
};
SYNPROXY_LANES WordPair load_pairs(const std::uint64_t* first, std::size_t stride) {
  const U64x8 a = every_second_pair(first, stride);
  const U64x8 b = every_second_pair(first + stride, stride);
  return {_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)};
}

SYNPROXY_LANES U64x8 sum_of_quarters(U64x8 a, U64x8 b) {
  return add(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}
// Lane i: the sum of the 32-bit words of length[i] bytes, 4 to 64; behind the end they count as
// zeros and are not read.
SYNPROXY_LANES U64x8 sums_of_bytes(const std::array<const std::uint8_t*, kLanes>& from,
                                   const std::array<std::uint64_t, kLanes>& length) {
  U64x8 r[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    const U64x8 bytes = _mm512_maskz_loadu_epi8(~0ULL >> (64 - length[i]), from[i]);
    r[i] = add(both(bytes, all(0xffffffffU)), down_by<32>(bytes));
  }
  U64x8 pairs[4];
  for (std::size_t i = 0; i < 4; ++i) {
    pairs[i] = add(_mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]),
                   _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]));
  }
  return sum_of_quarters(sum_of_quarters(pairs[0], pairs[1]), sum_of_quarters(pairs[2], pairs[3]));
}

// Whether both bytes stand side by side in `size` bytes, at most 63. The 32 bytes before them may
// be read too.
SYNPROXY_LANES bool has_pair(const std::uint8_t* from, std::size_t size, std::uint8_t first,
                             std::uint8_t second) {
  const __mmask64 there = (1ULL << size) - 1;
  const __m512i bytes = _mm512_maskz_loadu_epi8(there, from);
  const __mmask64 firsts =
      _mm512_mask_cmpeq_epi8_mask(there, bytes, _mm512_set1_epi8(static_cast<char>(first)));
  const __mmask64 seconds =
      _mm512_mask_cmpeq_epi8_mask(there, bytes, _mm512_set1_epi8(static_cast<char>(second)));
  return (firsts << 1 & seconds) != 0;
}

}  // namespace synproxy::avx512
#endif
