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
constexpr FramePattern pattern_of() {
  if constexpr (kRow < kAckShapes.size()) {
    constexpr OptionList kOptions = kAckShapes[kRow].options;
    return kIpv6 ? tcp_with(kOptions, kAck, kCompared)
                 : usual_frame_with(kOptions, kAck, kCompared);
  }
  // Any options.
  FramePattern p;
  p.fix(usual_at::kOffsetAndFlags, kAck, kCompared);
  if (!kIpv6) p.fix_all(kUsualFrame);
  return p;
}

template <bool kIpv6, std::size_t kRow>
SYNPROXY_KERNEL std::uint32_t verify(AckGroup& g, std::uint32_t used) {
  constexpr std::size_t kSecond = second_half(
      kRow < kAckShapes.size() ? kAckShapes[kRow % kAckShapes.size()].options.bytes() : 0);
  constexpr Patterns kPatterns = patterns_of(pattern_of<kIpv6, kRow>(), kSecond);
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
SYNPROXY_COLUMNS std::uint32_t refute_by(const AckGroup& g, std::uint32_t lanes, const LaneKeys& k,
                                         ScaleSet scales) {
  const std::uint32_t any_scale = scales | 1U << kNoScale;
  const __m512i isn = get(g.isn);
  const __m512i of_probe = low(add(isn, all(1)));  // seq itself
  const __m512i macs = covering_tags(g, macs_of_acks<kIpv6>(g, isn, k), k.k0, k.k1);
  const __m512i macs_of_probes = covering_tags(g, macs_of_acks<kIpv6>(g, of_probe, k), k.k0, k.k1);
  const __mmask8 found = fits_either(g, macs, macs_of_probes, k, any_scale);
  return lanes & k.known & ~std::uint32_t{found};
}
template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t refute_with(const AckGroup& g, std::uint32_t lanes,
                                          const KeysByParity& keys, ScaleSet scales) {
  return refute_by<kIpv6>(g, lanes, keys_of(get(g.quoted), keys), scales);
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

// A lane of which nobody knows whether it has timestamps has to fit neither layout.
template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t refute_mixed(const AckGroup& g, std::uint32_t lanes,
                                           const AckKeys& keys, ScaleSet scales) {
  const __m512i quoted = get(g.quoted);
  const LaneKeys k = choose_keys(static_cast<__mmask8>(g.timestamps_there),
                                 keys_of(quoted, keys.plain), keys_of(quoted, keys.timestamps));
  const std::uint32_t refuted = refute_by<kIpv6>(g, lanes, k, scales);
  const std::uint32_t unknown = refuted & g.unknown;
  if (unknown == 0) return refuted;
  return (refuted & ~unknown) | refute_with<kIpv6>(g, unknown, keys.timestamps, scales);
}

template <bool kIpv6, std::size_t kRow>
std::uint32_t refute(const AckGroup& g, std::uint32_t lanes, const AckKeys& keys, ScaleSet scales) {
  if constexpr (kRow < kAckShapes.size()) {
    return refute_with<kIpv6>(g, lanes, kAckShapes[kRow].timestamps ? keys.timestamps : keys.plain,
                              scales);
  } else {
    return refute_mixed<kIpv6>(g, lanes, keys, scales);
  }
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

SYNPROXY_KERNEL bool has_begin_of_timestamps(const std::uint8_t* tcp) {
  const std::size_t size = std::size_t{tcp[tcp_at::kOffsetAndFlags]} / 16 * 4;
  const __mmask64 there = ~0ULL >> (64 - size) & (~0ULL << kTcpHeader);
  const __m512i bytes = _mm512_maskz_loadu_epi8(there, tcp);
  const __mmask64 kind = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(kOptionTimestamps));
  const __mmask64 length = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(kTimestampsLength));
  return (kind << 1 & length) != 0;
}

template <std::size_t... kRow>
constexpr AckKernels kernels_of(std::index_sequence<kRow...>) {
  return {AckKernel{&verify<false, kRow>, &refute<false, kRow>}...,
          AckKernel{&verify<true, kRow>, &refute<true, kRow>}...};
}

constexpr AckKernels kAvx512 = kernels_of(std::make_index_sequence<kAckShapes.size() + 1>());
constexpr AnyAckKernels kAnyAvx512{&refute_any<false>, &refute_any<true>};

}  // namespace

const AckKernels* ack_kernels() { return supported() ? &kAvx512 : nullptr; }
const AnyAckKernels* any_ack_kernels() { return supported() ? &kAnyAvx512 : nullptr; }

std::uint32_t may_have_timestamps(const AckGroup& g, std::uint32_t lanes, bool ipv6) {
  std::uint32_t found = 0;
  for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
    const std::uint8_t* tcp = g.frames[lane] + usual_at::kTcp + shift_of(ipv6);
    found |= std::uint32_t{has_begin_of_timestamps(tcp)} << lane;
  }
  return lanes & found;
}

}  // namespace synproxy
#else
namespace synproxy {
const AckKernels* ack_kernels() { return nullptr; }
const AnyAckKernels* any_ack_kernels() { return nullptr; }
std::uint32_t may_have_timestamps(const AckGroup& /*g*/, std::uint32_t lanes, bool /*ipv6*/) {
  return lanes;
}
}  // namespace synproxy
#endif
