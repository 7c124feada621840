// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4 with eight messages in the lanes of four registers. Rotation is one instruction here.
// For files that are called only where the CPU has AVX-512.
#pragma once

#include "siphash_kernels.h"

#if defined(__x86_64__)
// g++ 12 warns about the deliberately undefined operand inside its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#define SYNPROXY_AVX512 __attribute__((target("avx512f"), always_inline)) inline

namespace synproxy::detail {

[[nodiscard]] SYNPROXY_AVX512 __m512i all(std::uint64_t value) {
  return _mm512_set1_epi64(static_cast<long long>(value));
}

[[nodiscard]] SYNPROXY_AVX512 __m512i add(__m512i a, __m512i b) {
  return reinterpret_cast<__m512i>(reinterpret_cast<__v8du>(a) + reinterpret_cast<__v8du>(b));
}

struct SipState8 {
  __m512i v0, v1, v2, v3;
};

[[nodiscard]] SYNPROXY_AVX512 SipState8 sip_begin(__m512i k0, __m512i k1) {
  return {_mm512_xor_si512(k0, all(kSipInit0)), _mm512_xor_si512(k1, all(kSipInit1)),
          _mm512_xor_si512(k0, all(kSipInit2)), _mm512_xor_si512(k1, all(kSipInit3))};
}

SYNPROXY_AVX512 void sip_round(SipState8& s) {
  s.v0 = add(s.v0, s.v1);
  s.v2 = add(s.v2, s.v3);
  s.v1 = _mm512_xor_si512(_mm512_rol_epi64(s.v1, 13), s.v0);
  s.v3 = _mm512_xor_si512(_mm512_rol_epi64(s.v3, 16), s.v2);
  s.v0 = _mm512_rol_epi64(s.v0, 32);
  s.v2 = add(s.v2, s.v1);
  s.v0 = add(s.v0, s.v3);
  s.v1 = _mm512_xor_si512(_mm512_rol_epi64(s.v1, 17), s.v2);
  s.v3 = _mm512_xor_si512(_mm512_rol_epi64(s.v3, 21), s.v0);
  s.v2 = _mm512_rol_epi64(s.v2, 32);
}

SYNPROXY_AVX512 void sip_compress(SipState8& s, __m512i word) {
  s.v3 = _mm512_xor_si512(s.v3, word);
  sip_round(s);
  sip_round(s);
  s.v0 = _mm512_xor_si512(s.v0, word);
}

[[nodiscard]] SYNPROXY_AVX512 __m512i sip_finish(SipState8& s) {
  s.v2 = _mm512_xor_si512(s.v2, all(kSipFinish));
  sip_round(s);
  sip_round(s);
  sip_round(s);
  sip_round(s);
  return _mm512_xor_si512(_mm512_xor_si512(s.v0, s.v1), _mm512_xor_si512(s.v2, s.v3));
}

}  // namespace synproxy::detail
#endif
