// SPDX-License-Identifier: BSD-3-Clause
// Buffers as a driver's pool has them: thousands, each of 2 KB behind headers, in no order.
//
// 8,192 is what two ports with 1,024 descriptors each way keep in motion. The frames of a pass are
// written before it is timed, all at once: the lines of 8,192 small frames fill a second level
// cache of a megabyte, so that most of them come from the third level when the engine reads them.
// That is where a network card with direct cache access puts them; from one without, they come from
// memory, and cost more than is shown here. Of full frames a pass has 2,048 for the same reason:
// more would not fit a third level cache that others use too.
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
  // What DPDK 22.11 makes of an rte_mbuf with 2,176 bytes of room: 64 bytes of the pool, 128 of the
  // mbuf, 128 of headroom. An odd number of lines, so that frames spread over the cache's sets.
  static constexpr std::size_t kBefore = 64 + 128 + 128;
  static constexpr std::size_t kStride = kBefore + kRoom;
  static_assert(kStride % 128 == 64);

  Mapping memory_;
  std::vector<std::size_t> order_;
};

}  // namespace synproxy::bench
