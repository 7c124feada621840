// SPDX-License-Identifier: BSD-3-Clause
// How many buffers a port needs, and whether hugepages will hold them. This is decided before EAL
// starts, because a start that fails for lack of memory cannot be repeated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "synproxy/base/config.h"

namespace synproxy::dataplane {

struct PoolPlan {
  std::uint32_t buffers = 0;
  std::uint16_t data_room = 0;     // bytes of one buffer, headroom included
  std::uint16_t private_area = 0;  // bytes beside it
  // Free buffers that each worker keeps for itself. It takes the one freed last, which is still in
  // the CPU's cache. At most one and a half times as many stay with a worker.
  std::uint32_t cache = kUsualCache;

  static constexpr std::uint32_t kUsualCache = 256;  // eight bursts: what a busy worker holds

  // Memory in pages of that size, with what DPDK keeps beside each buffer. A buffer never crosses a
  // page boundary, so a page of 4 KB holds only one of 2 KB.
  [[nodiscard]] std::size_t bytes(std::size_t page_bytes) const;
};

// Room for frames of that length behind the headroom.
[[nodiscard]] std::uint16_t room_for(std::uint32_t frame_bytes);

// Buffers for the workers, for the rings between them, and for `device_frames` in a device's rings.
inline constexpr std::uint32_t kHandOverSlots = 1024;  // of each ring between workers
[[nodiscard]] std::uint32_t buffers_for(unsigned workers, std::uint32_t device_frames);

// PoolPlan::cache of a pool that is smaller than what many workers would keep: more than a third of
// its buffers is always left for receiving.
[[nodiscard]] std::uint32_t cache_within(std::uint32_t buffers, unsigned workers);

// Which flag asked for most of what the engines could not get, and what to do. The refusal itself
// does not say: it hits the request that comes last.
[[nodiscard]] std::string no_memory_for(const EngineShape& totals);

// Free bytes in hugepages of the size that has the most.
[[nodiscard]] std::size_t free_hugepage_bytes();

}  // namespace synproxy::dataplane
