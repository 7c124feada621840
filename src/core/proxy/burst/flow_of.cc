// SPDX-License-Identifier: BSD-3-Clause
// Which connection a frame belongs to.
#include "burst/flow_key.h"
#include "synproxy/proxy/engine.h"

namespace synproxy {

bool flow_of(std::span<const std::uint8_t> frame, Role sender, const ProtectSet& protect,
             FlowKey& key) {
  Segment s;
  // The parser keeps the pointer for those who rewrite; nothing is written here.
  parse_frame(const_cast<std::uint8_t*>(frame.data()), frame.size(), s);
  if (s.result == ParseResult::kTcp) {
    key_of(s, sender, key);
  } else if (s.result == ParseResult::kIcmp) {
    const QuotedSegment q = parse_quoted(s);
    if (!q.valid) return false;
    key_of(s, q, sender, key);
  } else {
    return false;
  }
  return protect.matches(key.server.data(), key.ipv6, key.server_port);
}

}  // namespace synproxy
