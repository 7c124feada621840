// SPDX-License-Identifier: BSD-3-Clause
// Eight messages at a time, in two registers of four lanes whose rounds overlap.
#include "siphash_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define SYNPROXY_AVX2 __attribute__((target("avx2"), always_inline)) inline

namespace synproxy::detail {

namespace {

constexpr std::size_t kLanes = 4;

struct State {
  __m256i v0, v1, v2, v3;
};

SYNPROXY_AVX2 __m256i all_lanes(std::uint64_t value) {
  return _mm256_set1_epi64x(static_cast<long long>(value));
}

SYNPROXY_AVX2 __m256i load(const std::uint64_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

template <int kBits>
SYNPROXY_AVX2 __m256i rotate(__m256i v) {
  return _mm256_or_si256(_mm256_slli_epi64(v, kBits), _mm256_srli_epi64(v, 64 - kBits));
}
template <>
SYNPROXY_AVX2 __m256i rotate<32>(__m256i v) {
  return _mm256_shuffle_epi32(v, 0xb1);
}
template <>
SYNPROXY_AVX2 __m256i rotate<16>(__m256i v) {
  const __m256i order = _mm256_setr_epi8(6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13,  //
                                         6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13);
  return _mm256_shuffle_epi8(v, order);
}

SYNPROXY_AVX2 void round(State& s) {
  s.v0 = _mm256_add_epi64(s.v0, s.v1);
  s.v2 = _mm256_add_epi64(s.v2, s.v3);
  s.v1 = _mm256_xor_si256(rotate<13>(s.v1), s.v0);
  s.v3 = _mm256_xor_si256(rotate<16>(s.v3), s.v2);
  s.v0 = rotate<32>(s.v0);
  s.v2 = _mm256_add_epi64(s.v2, s.v1);
  s.v0 = _mm256_add_epi64(s.v0, s.v3);
  s.v1 = _mm256_xor_si256(rotate<17>(s.v1), s.v2);
  s.v3 = _mm256_xor_si256(rotate<21>(s.v3), s.v0);
  s.v2 = rotate<32>(s.v2);
}

SYNPROXY_AVX2 void double_round(State& a, State& b) {
  round(a);
  round(b);
  round(a);
  round(b);
}

SYNPROXY_AVX2 State start(const std::uint64_t* k0s, const std::uint64_t* k1s) {
  const __m256i k0 = load(k0s);
  const __m256i k1 = load(k1s);
  return {_mm256_xor_si256(k0, all_lanes(kSipInit0)), _mm256_xor_si256(k1, all_lanes(kSipInit1)),
          _mm256_xor_si256(k0, all_lanes(kSipInit2)), _mm256_xor_si256(k1, all_lanes(kSipInit3))};
}

SYNPROXY_AVX2 void compress(State& a, State& b, __m256i word_a, __m256i word_b) {
  a.v3 = _mm256_xor_si256(a.v3, word_a);
  b.v3 = _mm256_xor_si256(b.v3, word_b);
  double_round(a, b);
  a.v0 = _mm256_xor_si256(a.v0, word_a);
  b.v0 = _mm256_xor_si256(b.v0, word_b);
}

SYNPROXY_AVX2 void finish(State& a, State& b, std::uint64_t* out) {
  a.v2 = _mm256_xor_si256(a.v2, all_lanes(kSipFinish));
  b.v2 = _mm256_xor_si256(b.v2, all_lanes(kSipFinish));
  double_round(a, b);
  double_round(a, b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_xor_si256(_mm256_xor_si256(a.v0, a.v1), _mm256_xor_si256(a.v2, a.v3)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kLanes),
                      _mm256_xor_si256(_mm256_xor_si256(b.v0, b.v1), _mm256_xor_si256(b.v2, b.v3)));
}

// Words `w` and `w + 1` of four neighbouring messages, in order: low halves, then high halves.
struct WordPair {
  __m256i even, odd;
};
SYNPROXY_AVX2 __m128i load_two(const MacInput& in, std::size_t w) {
  return _mm_loadu_si128(
      reinterpret_cast<const __m128i*>(reinterpret_cast<const std::uint64_t*>(&in) + w));
}
SYNPROXY_AVX2 WordPair load_pair(const MacInput* in, std::size_t w) {
  const __m256i a =
      _mm256_inserti128_si256(_mm256_castsi128_si256(load_two(in[0], w)), load_two(in[2], w), 1);
  const __m256i b =
      _mm256_inserti128_si256(_mm256_castsi128_si256(load_two(in[1], w)), load_two(in[3], w), 1);
  return {_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)};
}

SYNPROXY_AVX2 __m256i blend(__m256i inactive, __m256i active, __m256i mask) {
  return _mm256_blendv_epi8(inactive, active, mask);
}
SYNPROXY_AVX2 State blend(const State& inactive, const State& active, __m256i mask) {
  return {blend(inactive.v0, active.v0, mask), blend(inactive.v1, active.v1, mask),
          blend(inactive.v2, active.v2, mask), blend(inactive.v3, active.v3, mask)};
}

// The five words of four messages, and their counts as 64-bit lanes.
struct Messages {
  __m256i words[5];
  __m256i counts;
};
SYNPROXY_AVX2 Messages load_messages(const MacInput* in) {
  const WordPair first = load_pair(in, 0);
  const WordPair second = load_pair(in, 2);
  const WordPair third = load_pair(in, 4);  // count and padding stand where a sixth word would
  return {{first.even, first.odd, second.even, second.odd, third.even},
          _mm256_and_si256(third.odd, all_lanes(0xffffffffULL))};
}
SYNPROXY_AVX2 __m256i word_or_length(const Messages& m, std::size_t w) {
  const __m256i length = _mm256_slli_epi64(m.counts, 59);
  return w < 5 ? blend(length, m.words[w], _mm256_cmpgt_epi64(m.counts, all_lanes(w))) : length;
}

__attribute__((target("avx2"))) void hash_group(const std::uint64_t* k0s, const std::uint64_t* k1s,
                                                const MacInput* in, std::uint64_t* out) {
  State a = start(k0s, k1s);
  State b = start(k0s + kLanes, k1s + kLanes);
  const Messages ma = load_messages(in);
  const Messages mb = load_messages(in + kLanes);
  const std::uint32_t count = in[0].count;
  const __m256i same = _mm256_and_si256(_mm256_cmpeq_epi64(ma.counts, all_lanes(count)),
                                        _mm256_cmpeq_epi64(mb.counts, all_lanes(count)));
  if (_mm256_movemask_epi8(same) == -1) {
    for (std::size_t w = 0; w < count; ++w) {
      compress(a, b, ma.words[w], mb.words[w]);
    }
    compress(a, b, all_lanes(length_word(count)), all_lanes(length_word(count)));
  } else {
    // A lane whose message is over keeps its state while the longer ones go on.
    for (std::size_t w = 0; w <= 5; ++w) {
      const State old_a = a;
      const State old_b = b;
      compress(a, b, word_or_length(ma, w), word_or_length(mb, w));
      a = blend(a, old_a, _mm256_cmpgt_epi64(all_lanes(w), ma.counts));
      b = blend(b, old_b, _mm256_cmpgt_epi64(all_lanes(w), mb.counts));
    }
  }
  finish(a, b, out);
}

}  // namespace

void siphash24_avx2(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                    std::uint64_t* out, std::size_t n) {
  run_in_groups<hash_group, 5, 7>(k0s, k1s, in, out, n);
}

}  // namespace synproxy::detail
#endif
