// SPDX-License-Identifier: BSD-3-Clause
// The burst kernel of SipHash-2-4, eight messages at a time.
#pragma once

#include "siphash_lanes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

constexpr std::size_t kMacWords = sizeof(MacInput) / sizeof(std::uint64_t);

SYNPROXY_KERNEL void hash_group(const std::uint64_t* k0s, const std::uint64_t* k1s,
                                const MacInput* in, std::uint64_t* out) {
  const U64x8 k0 = load(k0s);
  const U64x8 k1 = load(k1s);
  SipState8 s = sip_begin(k0, k1);

  const WordPair first = load_pairs(reinterpret_cast<const std::uint64_t*>(in) + 0, kMacWords);
  const WordPair second = load_pairs(reinterpret_cast<const std::uint64_t*>(in) + 2, kMacWords);
  const WordPair third = load_pairs(reinterpret_cast<const std::uint64_t*>(in) + 4,
                                    kMacWords);  // count and tail stand where a sixth word would
  U64x8 words[5];
  assign(words[0], first.even);
  assign(words[1], first.odd);
  assign(words[2], second.even);
  assign(words[3], second.odd);
  assign(words[4], third.even);
  const U64x8 counts = both(third.odd, all(0xffffffffULL));
  const U64x8 tails = down_by<32>(third.odd);
  const std::uint32_t count = in[0].count;
  if (bits(equal(counts, all(count))) == 0xff) {
    for (std::size_t w = 0; w < count; ++w) {
      sip_compress(s, words[w]);
    }
    sip_compress(s, last_words(all(detail::length_word(count)), tails));
  } else {
    // A lane whose message is over keeps its state while the longer ones go on.
    const U64x8 last = last_words(up_by<59>(counts), tails);
    for (std::size_t w = 0; w <= 5; ++w) {
      const SipState8 old = s;
      const U64x8 word = w < 5 ? choose(above(counts, w), last, words[w]) : last;
      sip_compress(s, word);
      const Mask over = below(counts, w);
      s.v0 = choose(over, s.v0, old.v0);
      s.v1 = choose(over, s.v1, old.v1);
      s.v2 = choose(over, s.v2, old.v2);
      s.v3 = choose(over, s.v3, old.v3);
    }
  }

  store(out, sip_finish(s));
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
