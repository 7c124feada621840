// SPDX-License-Identifier: BSD-3-Clause
// Making and checking cookies: pure arithmetic on a MAC that the caller computed, burst by burst.
//
// Theory of operation. For every SYN, and for every ACK without a flow, the caller builds a
// MacInput and hashes it under the key of the layout and epoch. The result is h. It covers layout
// and epoch because they choose the key. The low bits of h mask the option bits x. The tag of the
// ISN is the top bits of h + multiplier * x: a change of a covered field changes h, and a change of
// the options changes the sum. TSval has a tag of its own for what it carries itself.
//
// The tag also covers the window scale that the SYN-ACK offers, but the cookie does not carry it.
// No bit is left for it, and the checker knows the few scales that it can have been (ScaleSet).
//
//   SYN   keys.current()                               -> make_cookie -> ISN, TSval of the SYN-ACK
//   ACK   keys.for_parity(cookie_parity(ack - 1))      -> check_cookie{ack - 1, TSecr} -> options
#pragma once

#include <bit>
#include <cstdint>

#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/cookie/siphash.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

// Addresses, ports, the client's ISN, and the VLAN stack if there is one: without that, one ACK
// copied into every VLAN would open a flow in each. It stands in the last block, which is hashed
// anyway. Words of `out` beyond its count stay as they were.
inline void cookie_mac_input(const FlowIdentity& ipv4, std::uint32_t client_isn, MacInput& out) {
  static_assert(std::endian::native == std::endian::little,
                "two proxies that share a secret must hash the same words");
  out.words[0] = ipv4.addresses;
  out.words[1] = static_cast<std::uint32_t>(ipv4.ports_and_vlan) | std::uint64_t{client_isn} << 32;
  out.count = 2;
  out.tail = vlan_of(ipv4).packed;
}
inline void cookie_mac_input(const KeyView& key, std::uint32_t client_isn, MacInput& out) {
  if (key.ipv6()) {
    const std::uint64_t rest =
        static_cast<std::uint32_t>(key.identity.ports_and_vlan) | std::uint64_t{client_isn} << 32;
    out.words = {load_raw<std::uint64_t>(key.client), load_raw<std::uint64_t>(key.client + 8),
                 load_raw<std::uint64_t>(key.server), load_raw<std::uint64_t>(key.server + 8),
                 rest};
    out.count = 5;
    out.tail = vlan_of(key.identity).packed;
  } else {
    cookie_mac_input(key.identity, client_isn, out);
  }
}
[[nodiscard]] inline MacInput cookie_mac_input(const KeyView& key, std::uint32_t client_isn) {
  MacInput in{};
  cookie_mac_input(key, client_isn, in);
  return in;
}

// What a plain cookie of a tight epoch cannot carry is not agreed upon.
[[nodiscard]] constexpr ClientOptions fit_for_tight_cookie(ClientOptions options) {
  const bool scales = options.wscale >= kTightScale && options.wscale != kNoScale;
  const bool rich = scales && options.sack && options.mss >= kMssClasses[1];
  options.sack = rich;
  options.wscale = rich ? kTightScale : kNoScale;
  return options;
}
// What the plain layout cannot carry beside a small MSS is not agreed upon.
[[nodiscard]] constexpr ClientOptions fit_for_cookie(ClientOptions options) {
  if (options.timestamps || options.mss >= kMssClasses[1]) return options;
  if (is_low_mss(options.mss)) options.wscale = kNoScale;
  const bool scales_far = options.wscale > kMostScaleBesideSack && options.wscale != kNoScale;
  if (is_low_mss(options.mss) || scales_far) options.sack = false;
  return options;
}

namespace detail {
// `sum`: that of the first tag. `in_tsval`: the option bits that TSval carries.
[[nodiscard]] constexpr std::uint64_t tsval_tag(std::uint64_t sum, std::uint64_t multiplier,
                                                std::uint64_t in_tsval) {
  using namespace layout;
  return (sum + multiplier * (in_tsval << kCoveredByTsval)) >> kTsvalTagShift & kTsvalTagMask;
}
}  // namespace detail

namespace detail {
template <unsigned kOptionBits>
[[nodiscard]] constexpr std::uint32_t isn_of(std::uint64_t sum, std::uint64_t masked,
                                             unsigned parity) {
  using namespace layout;
  const std::uint64_t tag = sum >> isn_tag_shift(kOptionBits);
  const std::uint64_t rest = tag << kOptionBits | (masked & ((1ULL << kOptionBits) - 1));
  return static_cast<std::uint32_t>(rest << kParityBits | (parity & 1U));
}
}  // namespace detail

// `mac`: siphash24 of cookie_mac_input under key.k0, key.k1, where `key` is the part of an
// EpochKeys for the layout and `parity` the lowest bit of its epoch; `packed`: what the SYN
// offered, by the pack function of the layout, or pack_tight() if the key is tight.
template <bool kTimestamps>
[[nodiscard]] constexpr Cookie make_packed_cookie(std::uint64_t mac, const LayoutKey& key,
                                                  unsigned parity, std::uint64_t packed,
                                                  unsigned offered_scale) {
  using namespace layout;
  const std::uint64_t masked = packed ^ mac;
  const std::uint64_t sum = mac + key.multiplier * covered(packed & kIsnOptionMask, offered_scale);
  Cookie out;
  if (!kTimestamps && key.tight) [[unlikely]] {
    out.isn = detail::isn_of<kTightOptionBits>(sum, masked, parity);
  } else {
    out.isn = detail::isn_of<kIsnOptionBits>(sum, masked, parity);
  }
  if constexpr (kTimestamps) {
    const std::uint64_t in_tsval = packed >> kIsnOptionBits;
    const std::uint64_t second = detail::tsval_tag(sum, key.multiplier, in_tsval);
    out.tsval = static_cast<std::uint32_t>(second << kTsvalOptionBits |
                                           (masked >> kIsnOptionBits & kTsvalOptionMask));
  }
  return out;
}

// The same from the options, which are fit_for_cookie(), or fit_for_tight_cookie(). ECN is lost in
// the plain layout: do not offer it there.
[[nodiscard]] constexpr Cookie make_cookie(std::uint64_t mac, const LayoutKey& key, unsigned parity,
                                           const ClientOptions& options) {
  if (options.timestamps) {
    return make_packed_cookie<true>(mac, key, parity, pack_timestamps(options),
                                    options.offered_scale);
  }
  const std::uint64_t packed = key.tight ? pack_tight(options) : pack_in_isn(options);
  return make_packed_cookie<false>(mac, key, parity, packed, options.offered_scale);
}

// The scales that a SYN-ACK may have offered: bit n for scale n. Each candidate is one more guess
// for an attacker.
using ScaleSet = std::uint16_t;
[[nodiscard]] constexpr ScaleSet scale_set(unsigned scale) {
  return static_cast<ScaleSet>(1U << scale);
}
inline constexpr ScaleSet kEveryScale = 0x7fff;

namespace detail {
// False: no scale's sum, first + scale * step, has the tag that `wanted` has at its top. It
// compares upper halves, all at once. What their lower halves carry over is less than the number of
// scales, and the tag leaves eight bits of the upper half free, or four if the cookie is tight.
template <unsigned kOptionBits>
[[nodiscard]] constexpr bool any_scale_may_fit(std::uint64_t first, std::uint64_t step,
                                               std::uint64_t wanted) {
  constexpr unsigned kFree = layout::isn_tag_shift(kOptionBits) - 32;
  static_assert(kNoScale < 1U << kFree);
  const auto ahead = static_cast<std::uint32_t>((first >> 32) - (wanted >> 32) + kNoScale);
  const auto high_step = static_cast<std::uint32_t>(step >> 32);
  std::uint32_t some = 0;
  for (std::uint32_t scale = 0; scale <= kNoScale; ++scale) {
    some |= (ahead + scale * high_step) >> (kFree + 1) == 0 ? 1U : 0U;
  }
  return some != 0;
}

template <unsigned kOptionBits>
[[nodiscard]] constexpr bool isn_tag_fits(std::uint64_t sum, std::uint64_t tag) {
  return sum >> layout::isn_tag_shift(kOptionBits) == tag;
}

// Where nothing is known of a service every scale is a candidate, and a flood of guesses would make
// a loop of each check. Kept out of line: it is rare, and it would cost the usual check registers.
template <unsigned kOptionBits>
[[nodiscard, gnu::noinline]] constexpr unsigned fitting_scales_of_many(std::uint64_t mac,
                                                                       std::uint64_t multiplier,
                                                                       std::uint64_t x,
                                                                       std::uint64_t tag,
                                                                       unsigned candidates) {
  using namespace layout;
  const std::uint64_t step = multiplier << kIsnOptionBits;
  const std::uint64_t first = mac + multiplier * covered(x, 0);
  if (!any_scale_may_fit<kOptionBits>(first, step, tag << isn_tag_shift(kOptionBits))) return 0;
  unsigned found = 0;
  for (unsigned scale = 0; scale <= kNoScale; ++scale) {
    found |= isn_tag_fits<kOptionBits>(first + scale * step, tag) ? 1U << scale : 0U;
  }
  return found & candidates;
}

// The candidates under which the tag of an ISN fits.
template <unsigned kOptionBits>
[[nodiscard]] constexpr unsigned fitting_scales(std::uint64_t mac, std::uint64_t multiplier,
                                                std::uint64_t x, std::uint64_t tag,
                                                unsigned candidates) {
  if ((candidates & (candidates - 1)) != 0) [[unlikely]] {
    return fitting_scales_of_many<kOptionBits>(mac, multiplier, x, tag, candidates);
  }
  const auto scale = static_cast<unsigned>(std::countr_zero(candidates));
  return isn_tag_fits<kOptionBits>(mac + multiplier * layout::covered(x, scale), tag) ? candidates
                                                                                      : 0;
}

enum class Quote : std::uint8_t { kPlain, kTimestamps, kStripped, kTight };

template <Quote kQuote>
[[nodiscard]] constexpr ClientOptions unpack(std::uint64_t x) {
  if constexpr (kQuote == Quote::kPlain) return unpack_plain(x);
  if constexpr (kQuote == Quote::kTight) return unpack_tight(x);
  return unpack_stripped(x);
}

template <Quote kQuote>
[[nodiscard]] constexpr bool check_quote(std::uint64_t mac, const LayoutKey& key, Cookie cookie,
                                         ScaleSet scales, ClientOptions& out) {
  using namespace layout;
  constexpr unsigned kOptionBits = kQuote == Quote::kTight ? kTightOptionBits : kIsnOptionBits;
  const std::uint64_t quoted = cookie.isn >> kParityBits;
  std::uint64_t x = (quoted ^ mac) & ((1ULL << kOptionBits) - 1);
  ClientOptions options = unpack<kQuote>(x);
  const unsigned candidates = options.wscale == kNoScale ? scale_set(kNoScale) : scales;
  unsigned found =
      fitting_scales<kOptionBits>(mac, key.multiplier, x, quoted >> kOptionBits, candidates);
  if (found == 0) return false;
  if constexpr (kQuote == Quote::kTimestamps) {
    const std::uint64_t in_tsval = (cookie.tsval ^ mac >> kIsnOptionBits) & kTsvalOptionMask;
    const std::uint64_t tag = cookie.tsval >> kTsvalOptionBits;
    const auto fits = [&](unsigned scale) {
      const std::uint64_t sum = mac + key.multiplier * covered(x, scale);
      return tsval_tag(sum, key.multiplier, in_tsval) == tag;
    };
    while (found != 0 && !fits(static_cast<unsigned>(std::countr_zero(found)))) found &= found - 1;
    x |= in_tsval << kIsnOptionBits;
    options = unpack_timestamps(x);
    // The MSS stands in both parts.
    if (found == 0 || mss_class(options.mss) != kMssClass.get(x)) return false;
  }
  options.offered_scale = static_cast<std::uint8_t>(std::countr_zero(found));
  out = options;
  return true;
}
}  // namespace detail

// Cookie as the ACK quotes it: isn = ack - 1, tsval = TSecr. `timestamps`: the ACK has the option;
// `mac` and `key` are of that layout and of the epoch that cookie_parity(isn) names; `scales`: what
// may have been offered to a client that scales. True if the tag fits, and then `out` holds what
// the SYN offered and got; `out` is untouched otherwise.
[[nodiscard]] constexpr bool check_cookie(std::uint64_t mac, const LayoutKey& key, Cookie cookie,
                                          bool timestamps, ScaleSet scales, ClientOptions& out) {
  using detail::Quote;
  if (timestamps) return detail::check_quote<Quote::kTimestamps>(mac, key, cookie, scales, out);
  return key.tight ? detail::check_quote<Quote::kTight>(mac, key, cookie, scales, out)
                   : detail::check_quote<Quote::kPlain>(mac, key, cookie, scales, out);
}
// The same for a cookie of the layout with timestamps of which only the ISN is left. `out` holds
// what that carries, and no timestamps.
[[nodiscard]] constexpr bool check_stripped_cookie(std::uint64_t mac, const LayoutKey& key,
                                                   std::uint32_t isn, ScaleSet scales,
                                                   ClientOptions& out) {
  return detail::check_quote<detail::Quote::kStripped>(mac, key, {isn, 0}, scales, out);
}

}  // namespace synproxy
