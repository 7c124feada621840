// SPDX-License-Identifier: BSD-3-Clause
// How many buffers a port needs, and whether hugepages will hold them. All of it is decided before
// EAL starts: once its memory has failed to come up, it cannot be tried again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace synproxy::dataplane {

struct PoolPlan {
  std::uint32_t buffers = 0;
  std::uint16_t data_room = 0;  // bytes of one buffer, headroom included

  // With what DPDK keeps beside each buffer, in memory of such pages: a buffer never crosses from
  // one page to the next, so that pages of 4 KB hold one of 2 KB each.
  [[nodiscard]] std::size_t bytes(std::size_t page_bytes) const;
};

// Room for frames of that length behind the headroom.
[[nodiscard]] std::uint16_t room_for(std::uint32_t frame_bytes);

// Frames in the rings of a device, beside those in the hands of the workers.
inline constexpr std::uint32_t kHandOverSlots = 1024;  // of each ring between workers
[[nodiscard]] std::uint32_t buffers_for(unsigned workers, std::uint32_t device_frames);

// Free bytes in hugepages of the size that has most of them.
[[nodiscard]] std::size_t free_hugepage_bytes();

}  // namespace synproxy::dataplane
