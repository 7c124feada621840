// SPDX-License-Identifier: BSD-3-Clause
// What is known of the cookie that an ACK quotes: found once, and carried with the packet.
#pragma once

#include <cstdint>

#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// A cookie that fits, or none.
struct CookieMatch {
  bool valid = false;
  ClientOptions options;
  std::uint32_t client_isn = 0;
  std::uint64_t mac = 0;    // over the VLAN stack too
  std::uint64_t epoch = 0;  // whose keys it was made with
  Timestamps timestamps;    // of the ACK
};

// What an ACK without a flow quotes, and what the MACs of the burst made of it.
struct AckPlan {
  std::uint8_t macs = 0;  // how many there were for it: for ISN seq - 1, and on a probe for seq
  bool refuted = false;   // there were, and none fits
  ScaleSet scales = 0;    // that the cookie may have been made with
  Timestamps timestamps;
  const EpochKeys* keys = nullptr;
  CookieMatch match;  // of the first that fits; where there were MACs only
};

// Whether the cookie that the ACK of `plan` quotes, `ack` - 1, was made with `mac` for
// `client_isn`.
[[nodiscard]] inline bool match_mac(const AckPlan& plan, std::uint32_t ack, std::uint64_t mac,
                                    std::uint32_t client_isn, CookieMatch& out) {
  const bool timestamps = plan.timestamps.present;
  const LayoutKey& key = key_of_layout(*plan.keys, timestamps);
  ClientOptions options;
  if (!check_cookie(mac, key, {ack - 1, plan.timestamps.tsecr}, timestamps, plan.scales, options)) {
    return false;
  }
  out = {.valid = true,
         .options = options,
         .client_isn = client_isn,
         .mac = mac,
         .epoch = plan.keys->epoch,
         .timestamps = plan.timestamps};
  return true;
}

}  // namespace synproxy
