// SPDX-License-Identifier: BSD-3-Clause
// Making and checking cookies: pure arithmetic on a MAC that the caller computed, burst by burst.
//
// Theory of operation. For every SYN, and for every ACK without a flow, the caller builds a
// MacInput and hashes it under the key of the layout and epoch. The result is h. It covers layout
// and epoch because they choose the key. The low bits of h mask the option bits x. The tag is the
// top bits of h + multiplier * x: a change of a covered field changes h, and a change of the
// options changes the sum.
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

// Addresses, ports and the client's ISN. cover_vlan() covers the VLAN stack, if there is one. Words
// of `out` beyond its count stay as they were.
inline void cookie_mac_input(const FlowIdentity& ipv4, std::uint32_t client_isn, MacInput& out) {
  static_assert(std::endian::native == std::endian::little,
                "two proxies that share a secret must hash the same words");
  out.words[0] = ipv4.addresses;
  out.words[1] = static_cast<std::uint32_t>(ipv4.ports_and_vlan) | std::uint64_t{client_isn} << 32;
  out.count = 2;
}
inline void cookie_mac_input(const KeyView& key, std::uint32_t client_isn, MacInput& out) {
  if (key.ipv6()) {
    const std::uint64_t rest =
        static_cast<std::uint32_t>(key.identity.ports_and_vlan) | std::uint64_t{client_isn} << 32;
    out.words = {load_raw<std::uint64_t>(key.client), load_raw<std::uint64_t>(key.client + 8),
                 load_raw<std::uint64_t>(key.server), load_raw<std::uint64_t>(key.server + 8),
                 rest};
    out.count = 5;
  } else {
    cookie_mac_input(key.identity, client_isn, out);
  }
}
[[nodiscard]] inline MacInput cookie_mac_input(const KeyView& key, std::uint32_t client_isn) {
  MacInput in{};
  cookie_mac_input(key, client_isn, in);
  return in;
}

// A second hash binds a tagged handshake to its tags. Without it, one ACK copied into every VLAN
// would open a flow in each. Untagged traffic does not pay for it. The message has three words, a
// length that no message of cookie_mac_input has.
[[nodiscard]] inline std::uint64_t cover_vlan(std::uint64_t mac, const LayoutKey& key,
                                              VlanStack vlan) {
  if (vlan.packed == 0) [[likely]] {
    return mac;
  }
  const std::array<std::uint64_t, 3> words{mac, vlan.packed, 0};
  return siphash24(key.k0, key.k1, words.data(), words.size());
}

// What the plain layout cannot carry beside a small MSS is not agreed upon.
[[nodiscard]] constexpr ClientOptions fit_for_cookie(ClientOptions options) {
  if (options.timestamps || options.mss >= kMssClasses[1]) return options;
  if (is_low_mss(options.mss)) options.wscale = kNoScale;
  const bool scales_far = options.wscale > kMostScaleBesideSack && options.wscale != kNoScale;
  if (is_low_mss(options.mss) || scales_far) options.sack = false;
  return options;
}

// `mac`: siphash24 of cookie_mac_input under key.k0, key.k1, where `key` is the part of an
// EpochKeys for the layout and `parity` the lowest bit of its epoch; `packed`: what the SYN
// offered, by the layout's pack function.
template <bool kTimestamps>
[[nodiscard]] constexpr Cookie make_packed_cookie(std::uint64_t mac, const LayoutKey& key,
                                                  unsigned parity, std::uint64_t packed,
                                                  unsigned offered_scale) {
  using namespace layout;
  const std::uint64_t sum =
      key.multiplier * covered(packed, option_bits(kTimestamps), offered_scale);
  const std::uint64_t tag = (mac + sum) >> (64 - tag_bits(kTimestamps));
  const std::uint64_t masked = packed ^ (mac & option_mask(kTimestamps));
  const std::uint64_t clear = parity & 1U;
  if constexpr (kTimestamps) {
    return {.isn = static_cast<std::uint32_t>(tag >> kTsTagInTsval << kParityBits | clear),
            .tsval = static_cast<std::uint32_t>(tag << kTsOptionBits | masked)};
  } else {
    const std::uint64_t tag_and_masked = tag << kPlainOptionBits | masked;
    return {.isn = static_cast<std::uint32_t>(tag_and_masked << kParityBits | clear), .tsval = 0};
  }
}

// The same from the options, which are fit_for_cookie(). ECN is lost in the plain layout: do not
// offer it there.
[[nodiscard]] constexpr Cookie make_cookie(std::uint64_t mac, const LayoutKey& key, unsigned parity,
                                           const ClientOptions& options) {
  return options.timestamps ? make_packed_cookie<true>(mac, key, parity, pack_timestamps(options),
                                                       options.offered_scale)
                            : make_packed_cookie<false>(mac, key, parity, pack_plain(options),
                                                        options.offered_scale);
}

// The scales that a SYN-ACK may have offered: bit n for scale n. Each candidate is one more guess
// for an attacker.
using ScaleSet = std::uint16_t;
[[nodiscard]] constexpr ScaleSet scale_set(unsigned scale) {
  return static_cast<ScaleSet>(1U << scale);
}
inline constexpr ScaleSet kEveryScale = 0x7fff;

namespace detail {
// The candidate under which `tag` fits, or -1.
[[nodiscard]] constexpr int fitting_scale(std::uint64_t mac, std::uint64_t multiplier,
                                          std::uint64_t x, unsigned option_bits, unsigned tag_bits,
                                          std::uint64_t tag, unsigned candidates) {
  for (; candidates != 0; candidates &= candidates - 1) {
    const int scale = std::countr_zero(candidates);
    const std::uint64_t sum =
        multiplier * layout::covered(x, option_bits, static_cast<unsigned>(scale));
    if ((mac + sum) >> (64 - tag_bits) == tag) return scale;
  }
  return -1;
}
}  // namespace detail

namespace detail {
template <bool kTimestamps>
[[nodiscard]] constexpr bool check_in_layout(std::uint64_t mac, const LayoutKey& key, Cookie cookie,
                                             ScaleSet scales, ClientOptions& out) {
  using namespace layout;
  const std::uint64_t quoted = cookie.isn >> kParityBits;
  const std::uint64_t masked = kTimestamps ? cookie.tsval : quoted;
  const std::uint64_t x = (masked ^ mac) & option_mask(kTimestamps);
  const std::uint64_t tag =
      kTimestamps ? quoted << kTsTagInTsval | masked >> kTsOptionBits : quoted >> kPlainOptionBits;
  ClientOptions options = kTimestamps ? unpack_timestamps(x) : unpack_plain(x);
  const unsigned candidates = options.wscale == kNoScale ? scale_set(kNoScale) : scales;
  const int scale = fitting_scale(mac, key.multiplier, x, option_bits(kTimestamps),
                                  tag_bits(kTimestamps), tag, candidates);
  if (scale < 0) return false;
  options.offered_scale = static_cast<std::uint8_t>(scale);
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
  return timestamps ? detail::check_in_layout<true>(mac, key, cookie, scales, out)
                    : detail::check_in_layout<false>(mac, key, cookie, scales, out);
}

}  // namespace synproxy
