// SPDX-License-Identifier: BSD-3-Clause
// Eight messages at a time, one in each lane of a register.
#include "siphash_avx512.h"

#if defined(__x86_64__)
namespace synproxy::detail {

namespace {

// Words `w` and `w + 1` of eight neighbouring messages, in order. Not a gather: with the microcode
// that guards gathers against data sampling, they cost more than the hash.
struct WordPair {
  __m512i even, odd;
};
SYNPROXY_AVX512 __m128i load_two(const MacInput& in, std::size_t w) {
  return _mm_loadu_si128(
      reinterpret_cast<const __m128i*>(reinterpret_cast<const std::uint64_t*>(&in) + w));
}
SYNPROXY_AVX512 __m512i load_every_second(const MacInput* in, std::size_t w) {
  __m512i v = _mm512_castsi128_si512(load_two(in[0], w));
  v = _mm512_inserti32x4(v, load_two(in[2], w), 1);
  v = _mm512_inserti32x4(v, load_two(in[4], w), 2);
  return _mm512_inserti32x4(v, load_two(in[6], w), 3);
}
SYNPROXY_AVX512 WordPair load_pair(const MacInput* in, std::size_t w) {
  const __m512i a = load_every_second(in, w);
  const __m512i b = load_every_second(in + 1, w);
  return {_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)};
}

__attribute__((target("avx512f"))) void hash_group(const std::uint64_t* k0s,
                                                   const std::uint64_t* k1s, const MacInput* in,
                                                   std::uint64_t* out) {
  const __m512i k0 = _mm512_loadu_si512(k0s);
  const __m512i k1 = _mm512_loadu_si512(k1s);
  SipState8 s = sip_begin(k0, k1);

  const WordPair first = load_pair(in, 0);
  const WordPair second = load_pair(in, 2);
  const WordPair third = load_pair(in, 4);  // count and padding stand where a sixth word would
  const __m512i words[5] = {first.even, first.odd, second.even, second.odd, third.even};
  const __m512i counts = _mm512_and_si512(third.odd, all(0xffffffffULL));
  const std::uint32_t count = in[0].count;
  if (_mm512_cmpeq_epi64_mask(counts, all(count)) == 0xff) {
    for (std::size_t w = 0; w < count; ++w) {
      sip_compress(s, words[w]);
    }
    sip_compress(s, all(length_word(count)));
  } else {
    // A lane whose message is over keeps its state while the longer ones go on.
    const __m512i length = _mm512_slli_epi64(counts, 59);
    for (std::size_t w = 0; w <= 5; ++w) {
      const SipState8 old = s;
      const __m512i word =
          w < 5 ? _mm512_mask_mov_epi64(length, _mm512_cmpgt_epu64_mask(counts, all(w)), words[w])
                : length;
      sip_compress(s, word);
      const __mmask8 over = _mm512_cmplt_epu64_mask(counts, all(w));
      s.v0 = _mm512_mask_mov_epi64(s.v0, over, old.v0);
      s.v1 = _mm512_mask_mov_epi64(s.v1, over, old.v1);
      s.v2 = _mm512_mask_mov_epi64(s.v2, over, old.v2);
      s.v3 = _mm512_mask_mov_epi64(s.v3, over, old.v3);
    }
  }

  _mm512_storeu_si512(out, sip_finish(s));
}

}  // namespace

void siphash24_avx512(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                      std::uint64_t* out, std::size_t n) {
  run_in_groups<hash_group, 3, 5>(k0s, k1s, in, out, n);
}

}  // namespace synproxy::detail
#endif
