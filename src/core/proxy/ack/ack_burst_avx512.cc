// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"
#include "ack/any_acks.h"
#include "burst/columns_avx512.h"
#include "burst/columns_ipv6_avx512.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy {
namespace {

using namespace columns;

// These flags may stand beside ACK; AE, URG, RST and SYN may not.
constexpr std::uint16_t kBesideAck = kFin | kPsh | kEce | kCwr;

constexpr std::uint16_t kCompared = kTcpFlagBits & static_cast<std::uint16_t>(~kBesideAck);

template <bool kIpv6, std::size_t kRow>
SYNPROXY_KERNEL std::uint32_t verify(AckGroup& g, std::uint32_t used) {
  constexpr OptionList kOptions = kAckShapes[kRow].options;
  constexpr std::size_t kSecond = second_half(kOptions.bytes());
  constexpr Patterns kPatterns = patterns_of(
      kIpv6 ? tcp_with(kOptions, kAck, kCompared) : usual_frame_with(kOptions, kAck, kCompared),
      kSecond);
  Words f;
  load_words<kSecond>(g, shift_of(kIpv6), f);
  __mmask8 good = matches(kPatterns, f);
  if constexpr (kIpv6) {
    constexpr BytePattern<8> kFirst = before_tcp();
    const Ipv6Words v = load_ipv6(g, f);
    good = sound_ends(first_is(good, v, kFirst), f, v);
    put_ends(g, f, v);
  } else {
    good = sound_ends(good, f);
    put_ends(g, f);
  }
  const __m512i numbers = swap_words(f.w[3]);
  const __m512i minus_one = all(~0ULL);
  put(g.isn, low(add(numbers, minus_one)));
  put(g.quoted, low(add(high(numbers), minus_one)));
  return good & used;
}

// The key of each lane, chosen by the parity bit of the ISN that it quotes.
struct LaneKeys {
  __mmask8 known;
  __mmask8 odd;
  __mmask8 tight;
  __m512i k0;
  __m512i k1;
  __m512i multiplier;
};
SYNPROXY_COLUMNS __mmask8 all_if(bool set) { return set ? 0xff : 0; }
SYNPROXY_COLUMNS LaneKeys keys_of(__m512i quoted, const KeysByParity& keys) {
  static constexpr LayoutKey kNone{};
  const LayoutKey& even = keys[0] != nullptr ? *keys[0] : kNone;
  const LayoutKey& odd = keys[1] != nullptr ? *keys[1] : kNone;
  LaneKeys k;
  k.odd = _mm512_test_epi64_mask(quoted, all(1));
  k.known = choose_bits(k.odd, all_if(keys[0] != nullptr), all_if(keys[1] != nullptr));
  k.k0 = choose(k.odd, even.k0, odd.k0);
  k.k1 = choose(k.odd, even.k1, odd.k1);
  k.multiplier = choose(k.odd, even.multiplier, odd.multiplier);
  k.tight = choose_bits(k.odd, all_if(even.tight), all_if(odd.tight));
  return k;
}

// How an ISN is divided, in each lane.
struct Wide {
  SYNPROXY_COLUMNS static __m512i mask() { return all(layout::kIsnOptionMask); }
  SYNPROXY_COLUMNS static __m512i above_options(__m512i v) {
    return _mm512_srli_epi64(v, layout::kIsnOptionBits);
  }
  SYNPROXY_COLUMNS static __m512i tag_of(__m512i sum) {
    return _mm512_srli_epi64(sum, layout::kIsnTagShift);
  }
};
// Both epochs may be tight, or one of them.
struct Divided {
  __m512i option_bits;

  SYNPROXY_COLUMNS explicit Divided(__mmask8 tight)
      : option_bits(choose(tight, layout::kIsnOptionBits, layout::kTightOptionBits)) {}
  SYNPROXY_COLUMNS __m512i mask() const {
    return add(_mm512_sllv_epi64(all(1), option_bits), all(~0ULL));
  }
  SYNPROXY_COLUMNS __m512i above_options(__m512i v) const {
    return _mm512_srlv_epi64(v, option_bits);
  }
  SYNPROXY_COLUMNS __m512i tag_of(__m512i sum) const {
    return _mm512_srlv_epi64(sum, add(option_bits, all(layout::isn_tag_shift(0))));
  }
};

// fitting_scales() for both layouts: tells only whether the ISN fits. What TSval says of a cookie
// is looked at by who checks it again.
template <typename Division>
SYNPROXY_COLUMNS __mmask8 fits(const AckGroup& g, __m512i mac, const LaneKeys& k,
                               const Division& isn, std::uint32_t scales) {
  using namespace layout;
  const __m512i tag_and_masked = _mm512_srli_epi64(get(g.quoted), kParityBits);
  const __m512i tag = isn.above_options(tag_and_masked);
  const __m512i options = _mm512_and_si512(_mm512_xor_si512(tag_and_masked, mac), isn.mask());
  const __m512i sum = add(mac, _mm512_mullo_epi64(options, k.multiplier));
  __mmask8 found = 0;
  for (; scales != 0; scales &= scales - 1) {
    const auto scale = static_cast<unsigned>(std::countr_zero(scales));
    // The scale stands above the option bits and shares no bit with them, so the product is the sum
    // of two products.
    const __m512i of_scale = _mm512_mullo_epi64(all(covered(0, scale)), k.multiplier);
    found |= _mm512_cmpeq_epi64_mask(isn.tag_of(add(sum, of_scale)), tag);
  }
  return found;
}

// `macs`, or `of_probes`: of the number before it.
SYNPROXY_COLUMNS __mmask8 fits_either(const AckGroup& g, __m512i macs, __m512i of_probes,
                                      const LaneKeys& k, std::uint32_t scales) {
  if (k.tight == 0) [[likely]] {
    return fits(g, macs, k, Wide(), scales) | fits(g, of_probes, k, Wide(), scales);
  }
  const Divided divided(k.tight);
  return fits(g, macs, k, divided, scales) | fits(g, of_probes, k, divided, scales);
}

template <bool kIpv6>
SYNPROXY_COLUMNS __m512i macs_of_acks(const AckGroup& g, __m512i isn, const LaneKeys& k) {
  return kIpv6 ? macs_of_ipv6(g, isn, k.k0, k.k1) : macs_of(g, isn, k.k0, k.k1);
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t refute(const AckGroup& g, std::uint32_t lanes,
                                     const KeysByParity& keys, ScaleSet scales) {
  const LaneKeys k = keys_of(get(g.quoted), keys);
  const std::uint32_t any_scale = scales | 1U << kNoScale;
  const __m512i isn = get(g.isn);
  const __m512i of_probe = low(add(isn, all(1)));  // seq itself
  const __m512i macs = macs_of_acks<kIpv6>(g, isn, k);
  const __m512i macs_of_probes = macs_of_acks<kIpv6>(g, of_probe, k);
  const __mmask8 found = fits_either(g, macs, macs_of_probes, k, any_scale);
  return lanes & k.known & ~std::uint32_t{found};
}

SYNPROXY_COLUMNS LaneKeys choose_keys(__mmask8 lanes, const LaneKeys& otherwise,
                                      const LaneKeys& value) {
  LaneKeys k;
  k.odd = otherwise.odd;
  k.known = choose_bits(lanes, otherwise.known, value.known);
  k.k0 = choose(lanes, otherwise.k0, value.k0);
  k.k1 = choose(lanes, otherwise.k1, value.k1);
  k.multiplier = choose(lanes, otherwise.multiplier, value.multiplier);
  k.tight = choose_bits(lanes, otherwise.tight, value.tight);
  return k;
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t refute_any(AnyAckGroup& g, const KeysByParity& plain,
                                         const KeysByParity& timestamps, ScaleSet scales) {
  if constexpr (kIpv6) put_addresses(g, load_ipv6_header(g));
  const __m512i quoted = get(g.quoted);
  const __mmask8 stamped = _mm512_test_epi64_mask(get(g.timestamps), all(1));
  const LaneKeys k = choose_keys(stamped, keys_of(quoted, plain), keys_of(quoted, timestamps));
  const std::uint32_t any_scale = scales | 1U << kNoScale;
  const __m512i isn = get(g.isn);
  const __m512i vlan = get(g.vlan);
  const __m512i mac = covering_vlan(macs_of_acks<kIpv6>(g, isn, k), vlan, k.k0, k.k1);
  const __m512i of_probe =
      covering_vlan(macs_of_acks<kIpv6>(g, low(add(isn, all(1))), k), vlan, k.k0, k.k1);
  const __mmask8 found = fits_either(g, mac, of_probe, k, any_scale);
  return k.known & ~std::uint32_t{found};
}

template <std::size_t... kRow>
constexpr AckKernels kernels_of(std::index_sequence<kRow...>) {
  return {AckKernel{&verify<false, kRow>, &refute<false>}...,
          AckKernel{&verify<true, kRow>, &refute<true>}...};
}

constexpr AckKernels kAvx512 = kernels_of(std::make_index_sequence<kAckShapes.size()>());
constexpr AnyAckKernels kAnyAvx512{&refute_any<false>, &refute_any<true>};

}  // namespace

const AckKernels* ack_kernels() { return supported() ? &kAvx512 : nullptr; }
const AnyAckKernels* any_ack_kernels() { return supported() ? &kAnyAvx512 : nullptr; }

}  // namespace synproxy
#else
namespace synproxy {
const AckKernels* ack_kernels() { return nullptr; }
const AnyAckKernels* any_ack_kernels() { return nullptr; }
}  // namespace synproxy
#endif
