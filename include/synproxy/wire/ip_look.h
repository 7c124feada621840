// SPDX-License-Identifier: BSD-3-Clause
// What routers and receivers judge a packet by, besides its addresses: TTL or hop limit, DSCP and
// flow label. The ECN bits are no part of it, since they belong to the packet and not to its
// sender.
#pragma once

#include <algorithm>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

inline constexpr std::uint8_t kDefaultTtl = 64;

struct IpLook {
  be32 first;  // of the first word of the header: DSCP, and for IPv6 the flow label; other bits are
               // 0
  std::uint8_t ttl = kDefaultTtl;  // or hop limit

  friend bool operator==(const IpLook&, const IpLook&) = default;
};

// Of an end that has sent nothing yet. A peer that demands a high TTL (RFC 5082) sends a high one
// itself, so its packet shows what it wants. A packet that has nearly used up its TTL wants
// nothing.
[[nodiscard]] constexpr std::uint8_t ttl_for_answer(std::uint8_t seen) {
  return std::max(kDefaultTtl, seen);
}

template <bool kIpv6>
[[nodiscard]] inline IpLook look_at(const std::uint8_t* l3) {
  constexpr std::uint32_t kOfLook = be32(look_bits(kIpv6)).raw();
  return {be32::from_raw(load_raw<std::uint32_t>(l3) & kOfLook),
          l3[kIpv6 ? ipv6_at::kHopLimit : ipv4_at::kTtl]};
}
// For a segment with an IP header.
[[nodiscard]] inline IpLook look_of(const Segment& s) {
  return s.ipv6 ? look_at<true>(s.l3()) : look_at<false>(s.l3());
}
// The look of the answer to `seen`, as long as nothing is known of the end that answers.
[[nodiscard]] constexpr IpLook look_of_answer(const IpLook& seen) {
  return {seen.first, ttl_for_answer(seen.ttl)};
}

}  // namespace synproxy
