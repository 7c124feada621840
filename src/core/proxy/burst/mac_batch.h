// SPDX-License-Identifier: BSD-3-Clause
// Lanes of the SipHash burst.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/packet.h"
#include "synproxy/cookie/siphash.h"

namespace synproxy {

struct MacBatch {
  static constexpr std::size_t kLanes = 2 * kMaxBurst;  // an ACK may need two
  std::array<MacInput, kLanes> in;
  std::array<std::uint64_t, kLanes> k0;
  std::array<std::uint64_t, kLanes> k1;
  std::array<std::uint64_t, kLanes> out;
  std::array<std::uint16_t, kLanes> owner;  // the packet's place in the burst
};

}  // namespace synproxy
