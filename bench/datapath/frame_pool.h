// SPDX-License-Identifier: BSD-3-Clause
// Buffers like those of a driver's pool: thousands, each of 2 KB behind headers, in no order.
//
// Two ports with 1,024 descriptors each way keep some thousands of buffers in motion. The frames of
// a pass are all written before it is timed. The lines of 8,192 small frames fill a second-level
// cache of a megabyte, so most of them come from the third level when the engine reads them. A
// network card with direct cache access puts them there too; without it they come from memory, and
// cost more than is shown here. A pass of full frames has 2,048 of them, because more would not fit
// a third-level cache that others use too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "synproxy/flow/mapping.h"

namespace synproxy::bench {

class FramePool {
 public:
  static constexpr std::size_t kRoom = 2048;

  explicit FramePool(std::size_t buffers)
      : memory_(buffers * kStride, Mapping::Kind::kReserved), order_(buffers) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
    std::memset(memory_.data(), 0x5a, buffers * kStride);  // takes its pages now
  }
  [[nodiscard]] std::size_t size() const { return order_.size(); }
  [[nodiscard]] std::uint8_t* operator[](std::size_t i) const {
    return static_cast<std::uint8_t*>(memory_.data()) + order_[i] * kStride + kBefore;
  }

 private:
  // The layout in DPDK 22.11 of an rte_mbuf with 2,176 bytes of room: 64 bytes of the pool, 128 of
  // the mbuf, 128 of headroom. The number of lines is odd, so that frames spread over the cache's
  // sets.
  static constexpr std::size_t kBefore = 64 + 128 + 128;
  static constexpr std::size_t kStride = kBefore + kRoom;
  static_assert(kStride % 128 == 64);

  Mapping memory_;
  std::vector<std::size_t> order_;
};

}  // namespace synproxy::bench
