// SPDX-License-Identifier: BSD-3-Clause
// The table of connections that the kernel carries, as its memory is given to the engines of all
// workers. Whoever has made it keeps it mapped for as long as they live.
#pragma once

#include <cstdint>
#include <span>

#include "synproxy/proxy/offload_slot.h"

namespace synproxy {

// Which connections are worth it. Below the default, 8 Mbit/s, the engine's own way costs little,
// and short downloads end before it pays.
struct OffloadBulk {
  std::uint32_t bytes = 256U << 10;  // in long segments, within ...
  std::uint32_t ms = 250;
  std::uint32_t long_segment = 512;  // bytes of payload
  std::uint32_t least = 64U << 10;   // in a second: with less it is taken back
};

struct OffloadTable {
  std::span<OffloadSlot> slots;     // OFFLOAD_SLOTS of them; empty: the kernel carries nothing
  OffloadShared* shared = nullptr;  // nullptr likewise
  OffloadBulk bulk{};

  [[nodiscard]] bool there() const { return shared != nullptr; }
};

// What the kernel has carried since the last look, by sender.
struct Offloaded {
  std::uint64_t packets[2] = {};  // NOLINT(modernize-avoid-c-arrays): indexed like the slot's ends
  std::uint64_t bytes[2] = {};    // NOLINT(modernize-avoid-c-arrays)
};

}  // namespace synproxy
