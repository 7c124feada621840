// SPDX-License-Identifier: BSD-3-Clause
// Which worker a frame belongs to.
#include "flow_key.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/engine.h"

namespace synproxy {

std::uint32_t owner_of(std::span<const std::uint8_t> frame, Side side, const ProtectSet& protect,
                       const std::array<std::uint64_t, 4>& index_key, std::uint32_t workers,
                       std::uint32_t fallback) {
  Segment s;
  // The parser keeps the pointer for those who rewrite; nothing is written here.
  parse_frame(const_cast<std::uint8_t*>(frame.data()), frame.size(), s);
  FlowKey key;
  if (s.result == ParseResult::kTcp) {
    key_of(s, side, key);
  } else if (s.result == ParseResult::kIcmp) {
    const QuotedSegment q = parse_quoted(s);
    if (!q.valid) return fallback;
    key_of(s, q, side, key);
  } else {
    return fallback;
  }
  if (!protect.matches(key.server.data(), key.ipv6, key.server_port)) return fallback;
  return worker_of(index_hash(index_key, key), workers);
}

}  // namespace synproxy
