// SPDX-License-Identifier: BSD-3-Clause
// A key, two connections and an offer that the tests of cookies share.
#pragma once

#include "synproxy/cookie/cookie.h"

namespace synproxy::test {

inline constexpr LayoutKey kKey{
    .k0 = 0x1122334455667788ULL, .k1 = 0x99aabbccddeeff00ULL, .multiplier = 0xc2b2ae3d27d4eb4fULL};

inline FlowKey ipv4_key() {
  FlowKey key;
  key.client = {198, 51, 100, 7};
  key.server = {203, 0, 113, 10};
  key.client_port = 40001;
  key.server_port = 443;
  return key;
}

inline FlowKey ipv6_key() {
  FlowKey key = ipv4_key();
  key.ipv6 = true;
  for (std::size_t i = 0; i < 16; ++i) {
    key.client[i] = static_cast<std::uint8_t>(0x20 + i);
    key.server[i] = static_cast<std::uint8_t>(0xc0 + i);
  }
  return key;
}

inline std::uint64_t mac_of(const LayoutKey& key, const FlowKey& flow, std::uint32_t isn) {
  return siphash24(key.k0, key.k1, cookie_mac_input(flow, isn));
}

inline constexpr ScaleSet kOffered = scale_set(7);
// The scale that a client with that scale is offered.
inline std::uint8_t offered_for(unsigned scale) { return scale == kNoScale ? kNoScale : 7; }

inline ClientOptions usual(bool timestamps) {
  return {.mss = 1460,
          .wscale = 7,
          .sack = true,
          .ecn = false,
          .timestamps = timestamps,
          .offered_scale = 7};
}

}  // namespace synproxy::test
