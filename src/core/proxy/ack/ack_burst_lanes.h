// SPDX-License-Identifier: BSD-3-Clause
// The kernels of ack_burst.h and any_acks.h, for the sources that compile them (../lanes/avx512.h).
#pragma once

#include "burst/columns_both_lanes.h"
#include "burst/columns_ipv6_lanes.h"
#include "burst/columns_lanes.h"
#include "burst/kernels.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

// Of which family the lanes are that a kernel is for.
enum class Family : std::uint8_t { kIpv4, kIpv6, kBoth };
constexpr Family family_of(bool ipv6) { return ipv6 ? Family::kIpv6 : Family::kIpv4; }

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

SYNPROXY_LANES void put_numbers(AckGroup& g, const Words& f) {
  const U64x8 numbers = swap_words(f.w[3]);
  const U64x8 minus_one = all(~0ULL);
  put(g.isn, low(add(numbers, minus_one)));
  put(g.quoted, low(add(high(numbers), minus_one)));
}

template <bool kIpv6, std::size_t kRow>
SYNPROXY_KERNEL std::uint32_t verify_acks(AckGroup& g, std::uint32_t used) {
  constexpr std::size_t kSecond = second_half(
      kRow < kAckShapes.size() ? kAckShapes[kRow % kAckShapes.size()].options.bytes() : 0);
  constexpr Patterns kPatterns = patterns_of(pattern_of<kIpv6, kRow>(), kSecond);
  Words f;
  load_words<kSecond>(g, shift_of(kIpv6), f);
  Mask good = matches(kPatterns, f);
  if constexpr (kIpv6) {
    constexpr BytePattern<8> kFirst = before_tcp();
    const Ipv6Words v = load_ipv6(g, f);
    good = sound_ends(first_is(good, v, kFirst), f, v);
    put_ends(g, f, v);
  } else {
    good = sound_ends(good, f);
    put_ends(g, f);
  }
  put_numbers(g, f);
  return bits(good) & used;
}

// The key of each lane, chosen by the parity bit of the ISN that it quotes.
struct LaneKeys {
  Mask known;
  Mask odd;
  Mask tight;
  U64x8 k0;
  U64x8 k1;
  U64x8 multiplier;
};
SYNPROXY_LANES LaneKeys keys_of(U64x8 quoted, const KeysByParity& keys) {
  static constexpr LayoutKey kNone{};
  const LayoutKey& even = keys[0] != nullptr ? *keys[0] : kNone;
  const LayoutKey& odd = keys[1] != nullptr ? *keys[1] : kNone;
  LaneKeys k;
  k.odd = any_bit(quoted, all(1));
  k.known = choose_masks(k.odd, every_if(keys[0] != nullptr), every_if(keys[1] != nullptr));
  k.k0 = choose(k.odd, even.k0, odd.k0);
  k.k1 = choose(k.odd, even.k1, odd.k1);
  k.multiplier = choose(k.odd, even.multiplier, odd.multiplier);
  k.tight = choose_masks(k.odd, every_if(even.tight), every_if(odd.tight));
  return k;
}

// How an ISN is divided, in each lane.
struct Wide {
  SYNPROXY_LANES static U64x8 mask() { return all(layout::kIsnOptionMask); }
  SYNPROXY_LANES static U64x8 above_options(U64x8 v) { return down_by<layout::kIsnOptionBits>(v); }
  SYNPROXY_LANES static U64x8 tag_of(U64x8 sum) { return down_by<layout::kIsnTagShift>(sum); }
};
// Both epochs may be tight, or one of them.
struct Divided {
  U64x8 option_bits;

  SYNPROXY_LANES explicit Divided(Mask tight)
      : option_bits(choose(tight, layout::kIsnOptionBits, layout::kTightOptionBits)) {}
  SYNPROXY_LANES U64x8 mask() const { return add(up_by_each(all(1), option_bits), all(~0ULL)); }
  SYNPROXY_LANES U64x8 above_options(U64x8 v) const { return down_by_each(v, option_bits); }
  SYNPROXY_LANES U64x8 tag_of(U64x8 sum) const {
    return down_by_each(sum, add(option_bits, all(layout::isn_tag_shift(0))));
  }
};

// fitting_scales() for both layouts: tells only whether the ISN fits. The code that checks a cookie
// again looks at TSval.
template <typename Division>
SYNPROXY_LANES Mask fits(const AckGroup& g, U64x8 mac, const LaneKeys& k, const Division& isn,
                         std::uint32_t scales) {
  using namespace layout;
  const U64x8 tag_and_masked = down_by<kParityBits>(get(g.quoted));
  const U64x8 tag = isn.above_options(tag_and_masked);
  const U64x8 options = both(exclusive(tag_and_masked, mac), isn.mask());
  const U64x8 sum = add(mac, product(options, k.multiplier));
  Mask found = every_if(false);
  for (; scales != 0; scales &= scales - 1) {
    const auto scale = static_cast<unsigned>(std::countr_zero(scales));
    // The scale stands above the option bits and shares no bit with them, so the product is the sum
    // of two products.
    const U64x8 of_scale = product(all(covered(0, scale)), k.multiplier);
    found |= equal(isn.tag_of(add(sum, of_scale)), tag);
  }
  return found;
}

// `macs`, or `of_probes`: of the number before it.
SYNPROXY_LANES Mask fits_either(const AckGroup& g, U64x8 macs, U64x8 of_probes, const LaneKeys& k,
                                std::uint32_t scales) {
  if (bits(k.tight) == 0) [[likely]] {
    return fits(g, macs, k, Wide(), scales) | fits(g, of_probes, k, Wide(), scales);
  }
  const Divided divided(k.tight);
  return fits(g, macs, k, divided, scales) | fits(g, of_probes, k, divided, scales);
}

// The lanes of which a cookie fits, for ISN seq - 1 or for ISN seq. Both MACs begin alike.
template <Family kOf>
SYNPROXY_LANES Mask quote_a_cookie(const AckGroup& g, const LaneKeys& k, ScaleSet scales) {
  SipState8 begun;
  U64x8 length;
  if constexpr (kOf == Family::kBoth) {
    begun = macs_begun_both(g, k.k0, k.k1);
    length = length_words_both(g);
  } else {
    constexpr bool kIpv6 = kOf == Family::kIpv6;
    begun = kIpv6 ? macs_begun_ipv6(g, k.k0, k.k1) : macs_begun(g, k.k0, k.k1);
    length = length_words(kIpv6 ? 5 : 2);
  }
  const U64x8 isn = get(g.isn);
  const U64x8 of_probe = low(add(isn, all(1)));  // seq itself
  const std::uint32_t any_scale = scales | 1U << kNoScale;
  return fits_either(g, macs_ended(g, begun, isn, length), macs_ended(g, begun, of_probe, length),
                     k, any_scale);
}

template <Family kOf>
SYNPROXY_LANES std::uint32_t refute_by(const AckGroup& g, std::uint32_t lanes, const LaneKeys& k,
                                       ScaleSet scales) {
  return lanes & bits(k.known & ~quote_a_cookie<kOf>(g, k, scales));
}
template <Family kOf>
SYNPROXY_KERNEL std::uint32_t refute_with(const AckGroup& g, std::uint32_t lanes,
                                          const KeysByParity& keys, ScaleSet scales) {
  return refute_by<kOf>(g, lanes, keys_of(get(g.quoted), keys), scales);
}

SYNPROXY_LANES LaneKeys choose_keys(Mask lanes, const LaneKeys& otherwise, const LaneKeys& value) {
  LaneKeys k;
  k.odd = otherwise.odd;
  k.known = choose_masks(lanes, otherwise.known, value.known);
  k.k0 = choose(lanes, otherwise.k0, value.k0);
  k.k1 = choose(lanes, otherwise.k1, value.k1);
  k.multiplier = choose(lanes, otherwise.multiplier, value.multiplier);
  k.tight = choose_masks(lanes, otherwise.tight, value.tight);
  return k;
}

// A lane that may or may not have timestamps is refuted if it fits neither layout.
template <Family kOf>
SYNPROXY_KERNEL std::uint32_t refute_mixed(const AckGroup& g, std::uint32_t lanes,
                                           const AckKeys& keys, ScaleSet scales) {
  const U64x8 quoted = get(g.quoted);
  const LaneKeys k = choose_keys(mask_of(g.timestamps_there), keys_of(quoted, keys.plain),
                                 keys_of(quoted, keys.timestamps));
  const std::uint32_t refuted = refute_by<kOf>(g, lanes, k, scales);
  const std::uint32_t unknown = refuted & g.unknown;
  if (unknown == 0) return refuted;
  return (refuted & ~unknown) | refute_with<kOf>(g, unknown, keys.timestamps, scales);
}

template <Family kOf, std::size_t kRow>
std::uint32_t refute(const AckGroup& g, std::uint32_t lanes, const AckKeys& keys, ScaleSet scales) {
  if constexpr (kRow < kAckShapes.size()) {
    return refute_with<kOf>(g, lanes, kAckShapes[kRow].timestamps ? keys.timestamps : keys.plain,
                            scales);
  } else {
    return refute_mixed<kOf>(g, lanes, keys, scales);
  }
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t refute_any(AnyAckGroup& g, const KeysByParity& plain,
                                         const KeysByParity& timestamps, ScaleSet scales) {
  if constexpr (kIpv6) put_addresses(g, load_ipv6_header(g));
  const U64x8 quoted = get(g.quoted);
  const Mask stamped = any_bit(get(g.timestamps), all(1));
  const LaneKeys k = choose_keys(stamped, keys_of(quoted, plain), keys_of(quoted, timestamps));
  return bits(k.known & ~quote_a_cookie<family_of(kIpv6)>(g, k, scales));
}

SYNPROXY_KERNEL bool has_begin_of_timestamps(const std::uint8_t* tcp) {
  const std::size_t size = std::size_t{tcp[tcp_at::kOffsetAndFlags]} / 16 * 4 - kTcpHeader;
  return has_pair(tcp + kTcpHeader, size, kOptionTimestamps, kTimestampsLength);
}
template <Family kOf>
std::uint32_t may_have_timestamps(const AckGroup& g, std::uint32_t lanes) {
  const auto& frames = kOf == Family::kBoth ? g.shifted : g.frames;
  constexpr std::size_t kTcp = usual_at::kTcp + shift_of(kOf == Family::kIpv6);
  std::uint32_t found = 0;
  for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
    found |= std::uint32_t{has_begin_of_timestamps(frames[lane] + kTcp)} << lane;
  }
  return lanes & found;
}

// Does what verify_acks() does for any options, for lanes of both families.
SYNPROXY_KERNEL std::uint32_t verify_both(AckGroup& g, std::uint32_t used) {
  constexpr std::size_t kSecond = second_half(0);
  constexpr std::size_t kAny = kAckShapes.size();
  constexpr Patterns kOfIpv4 = patterns_of(pattern_of<false, kAny>(), kSecond);
  constexpr Patterns kOfIpv6 = patterns_of(pattern_of<true, kAny>(), kSecond);
  constexpr BytePattern<8> kFirst = before_tcp();
  Words f;
  load_words_of_both<kSecond>(g, f);
  const Mask ipv6 = ipv6_of(g);
  const Ipv6Words v = load_ipv6(g, f);
  const Mask good =
      choose_masks(ipv6, matches(kOfIpv4, f), first_is(matches(kOfIpv6, f), v, kFirst));
  put_ends(g, f, v, ipv6);
  put_numbers(g, f);
  return bits(sound_ends(good, f, v, ipv6)) & used;
}

template <Family kOf, std::size_t kRow>
constexpr AckKernel ack_kernel_of() {
  return {&verify_acks<kOf == Family::kIpv6, kRow>, &refute<kOf, kRow>, &may_have_timestamps<kOf>};
}
template <std::size_t... kRow>
constexpr AckKernels ack_kernels_of(std::index_sequence<kRow...>) {
  constexpr Family kBoth = Family::kBoth;
  return {ack_kernel_of<Family::kIpv4, kRow>()..., ack_kernel_of<Family::kIpv6, kRow>()...,
          AckKernel{&verify_both, &refute<kBoth, kAckShapes.size()>, &may_have_timestamps<kBoth>}};
}

constexpr AckKernels kAckTable = ack_kernels_of(std::make_index_sequence<kAckShapes.size() + 1>());
constexpr AnyAckKernels kAnyAckTable{&refute_any<false>, &refute_any<true>};

}  // namespace synproxy::SYNPROXY_ISA
#endif
