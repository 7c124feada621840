// SPDX-License-Identifier: BSD-3-Clause
// Finds the connection that a frame belongs to.
#include "burst/flow_key.h"
#include "burst/quoted_flow.h"
#include "synproxy/proxy/engine.h"

namespace synproxy {

bool flow_of(std::span<const std::uint8_t> frame, Role sender, const ProtectSet& protect,
             FlowKey& key) {
  Segment seen;
  return flow_of(frame, sender, protect, key, seen);
}

bool flow_of(std::span<const std::uint8_t> frame, Role sender, const ProtectSet& protect,
             FlowKey& key, Segment& s) {
  // parse_frame() keeps a writable pointer for those who rewrite; nothing is written here.
  parse_frame(const_cast<std::uint8_t*>(frame.data()), frame.size(), s);
  name_vlan(s, sender, protect.vlan_pairs());
  if (s.result == ParseResult::kIcmp) {
    QuotedFlow quoted;
    if (!quoted_flow(s, sender, protect, quoted)) return false;
    key = quoted.key;
    return true;
  }
  if (s.result != ParseResult::kTcp) return false;
  key_of(s, sender, key);
  return protect.matches(key.server.data(), key.ipv6, key.server_port);
}

}  // namespace synproxy
