// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"
#include "burst/columns_avx512.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy {
namespace {

using namespace columns;

constexpr std::uint32_t kNopsAndTimestamps = 0x0101080aU;

template <AckShape kShape>
constexpr Patterns patterns() {
  const std::uint32_t offset = (kTcpHeader + options_of(kShape)) / 4 << 28;
  Patterns p{};
  // Version and header length; no fragment, whatever DF says.
  p[0] = {raw(0xff000000U, 0x00003fffU), raw(0x45000000U, 0)};
  p[1] = {raw(0x00ff0000U, 0), raw(kProtocolTcp << 16, 0)};
  constexpr std::uint32_t kAny = std::uint32_t{kFin | kPsh | kEce | kCwr} << 16;
  p[4] = {raw(0, 0xf1ff0000U & ~kAny), raw(0, offset | std::uint32_t{kAck} << 16)};
  if (kShape == AckShape::kTimestamps) p[5] = {raw(0, 0xffffffffU), raw(0, kNopsAndTimestamps)};
  return p;
}

template <AckShape kShape>
SYNPROXY_KERNEL std::uint32_t verify(AckGroup& g, std::uint32_t used) {
  constexpr Patterns kPatterns = patterns<kShape>();
  Words f;
  load_columns(g, kFirstHalf, f.w);
  load_columns(g, kSecondHalf, f.w + 4);
  const __mmask8 good = sound_ends(matches(kPatterns, f), f);
  put_ends(g, f);
  const __m512i numbers = swap_words(f.w[3]);
  const __m512i minus_one = all(~0ULL);
  put(g.isn, low(add(numbers, minus_one)));
  put(g.quoted, low(add(high(numbers), minus_one)));
  if constexpr (kShape == AckShape::kTimestamps) put(g.tsecr, high(swap_words(f.w[6])));
  return good & used;
}

// Each lane's key, by the parity in the ISN that it quotes.
struct LaneKeys {
  __mmask8 known;
  __mmask8 odd;
  __m512i k0;
  __m512i k1;
  __m512i multiplier;
};
SYNPROXY_COLUMNS __m512i choose(__mmask8 odd, std::uint64_t of_even, std::uint64_t of_odd) {
  return _mm512_mask_mov_epi64(all(of_even), odd, all(of_odd));
}
SYNPROXY_COLUMNS LaneKeys keys_of(__m512i quoted, const KeysByParity& keys) {
  static constexpr LayoutKey kNone{};
  const LayoutKey& even = keys[0] != nullptr ? *keys[0] : kNone;
  const LayoutKey& odd = keys[1] != nullptr ? *keys[1] : kNone;
  LaneKeys k;
  k.odd = _mm512_test_epi64_mask(quoted, all(1));
  k.known = static_cast<__mmask8>((keys[1] != nullptr ? k.odd : 0) |
                                  (keys[0] != nullptr ? ~k.odd & 0xff : 0));
  k.k0 = choose(k.odd, even.k0, odd.k0);
  k.k1 = choose(k.odd, even.k1, odd.k1);
  k.multiplier = choose(k.odd, even.multiplier, odd.multiplier);
  return k;
}

// check_cookie() for every scale at once: only whether one fits.
template <AckShape kShape>
SYNPROXY_COLUMNS __mmask8 fits(const AckGroup& g, __m512i mac, const LaneKeys& k,
                               std::uint32_t scales) {
  using namespace layout;
  constexpr bool kStamped = kShape == AckShape::kTimestamps;
  constexpr unsigned kOptionBits = kStamped ? kTsOptionBits : kPlainOptionBits;
  constexpr unsigned kTagBits = kStamped ? kTsTagBits : kPlainTagBits;
  const __m512i tag_and_more = _mm512_srli_epi64(get(g.quoted), 1);
  __m512i masked;
  __m512i tag;
  if constexpr (kStamped) {
    masked = get(g.tsecr);
    tag = either(_mm512_slli_epi64(tag_and_more, kTsTagInTsval),
                 _mm512_srli_epi64(masked, kOptionBits));
  } else {
    masked = tag_and_more;
    tag = _mm512_srli_epi64(tag_and_more, kOptionBits);
  }
  const __m512i options =
      _mm512_and_si512(_mm512_xor_si512(masked, mac), all((1ULL << kOptionBits) - 1));
  const __m512i sum = add(mac, _mm512_mullo_epi64(options, k.multiplier));
  __mmask8 found = 0;
  for (; scales != 0; scales &= scales - 1) {
    const auto scale = static_cast<unsigned>(std::countr_zero(scales));
    // The option bits and the scale above them share no bit: the product is a sum of two.
    const __m512i of_scale = _mm512_mullo_epi64(all(covered(0, kOptionBits, scale)), k.multiplier);
    found |= _mm512_cmpeq_epi64_mask(_mm512_srli_epi64(add(sum, of_scale), 64 - kTagBits), tag);
  }
  return found;
}

template <AckShape kShape>
SYNPROXY_KERNEL std::uint32_t refute(const AckGroup& g, std::uint32_t lanes,
                                     const KeysByParity& keys, ScaleSet scales) {
  const LaneKeys k = keys_of(get(g.quoted), keys);
  const std::uint32_t any_scale = scales | 1U << kNoScale;
  const __m512i isn = get(g.isn);
  const __m512i of_probe = low(add(isn, all(1)));  // seq itself
  const __mmask8 found = fits<kShape>(g, macs_of(g, isn, k.k0, k.k1), k, any_scale) |
                         fits<kShape>(g, macs_of(g, of_probe, k.k0, k.k1), k, any_scale);
  return lanes & k.known & ~std::uint32_t{found};
}

template <AckShape kShape>
constexpr AckKernel kernel() {
  return {&verify<kShape>, &refute<kShape>};
}

constexpr AckKernels kAvx512{kernel<AckShape::kTimestamps>(), kernel<AckShape::kPlain>()};

}  // namespace

const AckKernels* ack_kernels() { return supported() ? &kAvx512 : nullptr; }

}  // namespace synproxy
#else
namespace synproxy {
const AckKernels* ack_kernels() { return nullptr; }
}  // namespace synproxy
#endif
