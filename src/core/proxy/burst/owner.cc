// SPDX-License-Identifier: BSD-3-Clause
// Finds the worker that owns a frame's flow.
#include "burst/flow_key.h"
#include "burst/quoted_flow.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/arrival.h"

namespace synproxy {
namespace {

bool find_tcp(Arrival& a, Role sender, const ProtectSet& protect, const IndexKey& index_key) {
  const Segment& g = a.segment;
  const bool from_client = sender == Role::kClient;
  const std::uint16_t port = from_client ? g.destination_port() : g.source_port();
  if (!protect.matches(from_client ? g.destination() : g.source(), g.ipv6, port)) return false;
  a.hash = index_hash(index_key, key_view(g, sender));
  return true;
}

bool find_quoted(Arrival& a, Role sender, const ProtectSet& protect, const IndexKey& index_key) {
  QuotedFlow quoted;
  if (!quoted_flow(a.segment, sender, protect, quoted)) return false;
  a.hash = index_hash(index_key, quoted.key);
  return true;
}

}  // namespace

std::uint32_t owner_of(std::span<const std::uint8_t> frame, Role sender, const ProtectSet& protect,
                       const IndexKey& index_key, std::uint32_t workers, std::uint32_t fallback,
                       Arrival& found) {
  // parse_frame() keeps a writable pointer for those who rewrite; nothing is written here.
  parse_frame(const_cast<std::uint8_t*>(frame.data()), frame.size(), found.segment);
  name_vlan(found.segment, sender, protect.vlan_pairs());
  const ParseResult result = found.segment.result;
  found.owned = (result == ParseResult::kTcp && find_tcp(found, sender, protect, index_key)) ||
                (result == ParseResult::kIcmp && find_quoted(found, sender, protect, index_key));
  return found.owned ? worker_of(found.hash, workers) : fallback;
}

}  // namespace synproxy
