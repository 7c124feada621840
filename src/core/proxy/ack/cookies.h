// SPDX-License-Identifier: BSD-3-Clause
// What making and checking a cookie needs of the engine.
#pragma once

#include "burst/engine_state.h"

namespace synproxy {

[[nodiscard]] inline const LayoutKey& key_of_layout(const EpochKeys& keys, bool timestamps) {
  return timestamps ? keys.timestamps : keys.plain;
}

// The scales that the SYN-ACK of a client's cookie may have offered.
[[nodiscard]] inline ScaleSet scales_offered(EngineState& s, const Context& c) {
  const KeyView key = c.key();
  const SynAckOffer* known = s.offers.find_known(s.services, c.service, key.server, s.epoch.epoch);
  if (known != nullptr) [[likely]] {
    return known->scales;
  }
  return s.offers.find(s.tuning, s.services, key, s.epoch.epoch).scales;
}

// Whether the ACK quotes the cookie that has its MAC number `i`.
[[nodiscard]] inline CookieMatch match_mac(const Context& c, unsigned i) {
  const Segment& g = c.segment;
  const AckPlan& a = c.ack;
  const LayoutKey& key = key_of_layout(*a.keys, a.timestamps.present);
  CookieMatch m;
  m.mac = a.mac[i];
  m.client_isn = i == 0 ? (g.seq - 1).value() : g.seq.value();
  m.valid = check_cookie(m.mac, key, {(g.ack - 1).value(), a.timestamps.tsecr},
                         a.timestamps.present, a.scales, m.options);
  return m;
}

}  // namespace synproxy
