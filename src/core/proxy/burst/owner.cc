// SPDX-License-Identifier: BSD-3-Clause
// Which worker a frame belongs to.
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/engine.h"

namespace synproxy {

std::uint32_t owner_of(std::span<const std::uint8_t> frame, Role sender, const ProtectSet& protect,
                       const std::array<std::uint64_t, 4>& index_key, std::uint32_t workers,
                       std::uint32_t fallback) {
  FlowKey key;
  if (!flow_of(frame, sender, protect, key)) return fallback;
  return worker_of(index_hash(index_key, key), workers);
}

}  // namespace synproxy
