// SPDX-License-Identifier: BSD-3-Clause
// The inputs and results of the SipHash burst, one lane for each MAC.
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
  std::array<std::uint16_t, kLanes> owner;  // index of the packet in the burst
};

}  // namespace synproxy
