// SPDX-License-Identifier: BSD-3-Clause
// What is known about the cookie that an ACK quotes. It is found once and carried with the packet.
#pragma once

#include <cstdint>

#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// A cookie that fits, or none.
struct CookieMatch {
  bool valid = false;
  bool stripped = false;  // it was given with timestamps, and the ACK has none
  ClientOptions options;
  std::uint32_t client_isn = 0;
  std::uint64_t mac = 0;    // covers the VLAN stack too
  std::uint64_t epoch = 0;  // the epoch whose keys made it
  Timestamps timestamps;    // of the ACK
};

// The check of an ACK without a flow: what it needs, and what the MACs of the burst have shown.
struct AckPlan {
  std::uint8_t macs = 0;  // MACs computed for it: for ISN seq - 1, and if it may be a probe for seq
  bool refuted = false;   // MACs were computed, and none fits
  ScaleSet scales = 0;    // scales that the cookie may have been made with
  Timestamps timestamps;
  const EpochKeys* keys = nullptr;
  CookieMatch match;  // the first cookie that fits; set only where there were MACs
};

// The key that made the cookie of an ACK. `stripped`: of an ACK whose timestamps were taken away.
[[nodiscard]] inline const LayoutKey& key_of_match(const AckPlan& plan, bool stripped) {
  return key_of_layout(*plan.keys, plan.timestamps.present || stripped);
}

// Whether the quoted cookie, `ack` - 1, was made with `mac` for `client_isn`.
[[nodiscard]] inline bool match_mac(const AckPlan& plan, std::uint32_t ack, std::uint64_t mac,
                                    std::uint32_t client_isn, bool stripped, CookieMatch& out) {
  ClientOptions options;
  const LayoutKey& key = key_of_match(plan, stripped);
  const bool fits = stripped ? check_stripped_cookie(mac, key, ack - 1, plan.scales, options)
                             : check_cookie(mac, key, {ack - 1, plan.timestamps.tsecr},
                                            plan.timestamps.present, plan.scales, options);
  if (!fits) return false;
  out = {.valid = true,
         .stripped = stripped,
         .options = options,
         .client_isn = client_isn,
         .mac = mac,
         .epoch = plan.keys->epoch,
         .timestamps = plan.timestamps};
  return true;
}

}  // namespace synproxy
