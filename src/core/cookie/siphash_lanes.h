// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4 with eight messages in the lanes of its state. Behind ../lanes/avx2.h or
// ../lanes/avx512.h.
#pragma once

#include "siphash_kernels.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

struct SipState8 {
  U64x8 v0, v1, v2, v3;
};

[[nodiscard]] SYNPROXY_LANES SipState8 sip_begin(U64x8 k0, U64x8 k1) {
  return {exclusive(k0, all(detail::kSipInit0)), exclusive(k1, all(detail::kSipInit1)),
          exclusive(k0, all(detail::kSipInit2)), exclusive(k1, all(detail::kSipInit3))};
}

SYNPROXY_LANES void sip_round(SipState8& s) {
  s.v0 = add(s.v0, s.v1);
  s.v2 = add(s.v2, s.v3);
  s.v1 = exclusive(rotate<13>(s.v1), s.v0);
  s.v3 = exclusive(rotate<16>(s.v3), s.v2);
  s.v0 = rotate<32>(s.v0);
  s.v2 = add(s.v2, s.v1);
  s.v0 = add(s.v0, s.v3);
  s.v1 = exclusive(rotate<17>(s.v1), s.v2);
  s.v3 = exclusive(rotate<21>(s.v3), s.v0);
  s.v2 = rotate<32>(s.v2);
}

SYNPROXY_LANES void sip_compress(SipState8& s, U64x8 word) {
  s.v3 = exclusive(s.v3, word);
  sip_round(s);
  sip_round(s);
  s.v0 = exclusive(s.v0, word);
}

// Does what detail::last_word() does. `length`: of the words.
[[nodiscard]] SYNPROXY_LANES U64x8 last_words(U64x8 length, U64x8 tail) {
  return either(either(length, tail), only_in(any_bit(tail, tail), all(detail::kTailLength)));
}

[[nodiscard]] SYNPROXY_LANES U64x8 sip_finish(SipState8& s) {
  s.v2 = exclusive(s.v2, all(detail::kSipFinish));
  sip_round(s);
  sip_round(s);
  sip_round(s);
  sip_round(s);
  return exclusive(exclusive(s.v0, s.v1), exclusive(s.v2, s.v3));
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
