// SPDX-License-Identifier: BSD-3-Clause
// Turns the costs of passes into the figures of one repetition.
//
// The mean is what a core pays: all cycles of all passes, with ticks, page walks and pauses,
// divided by the number of packets. Passes in which the kernel gave the core to another thread are
// left out as a whole, because a worker has its core to itself. The median of the bursts, the cost
// of an undisturbed burst, stands beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "datapath/bed.h"

namespace synproxy::bench {

class Meter {
 public:
  void add(Cost&& cost) {
    ++passes_;
    if (cost.interrupted) return;
    ++kept_;
    cycles_ += cost.cycles;
    in_ticks_ += cost.in_ticks;
    packets_ += cost.packets;
    bursts_.insert(bursts_.end(), cost.per_burst.begin(), cost.per_burst.end());
  }
  // True once enough passes were undisturbed.
  [[nodiscard]] bool usable() const { return kept_ != 0 && kept_ * 4 >= passes_; }
  [[nodiscard]] double mean() const { return per_packet(cycles_); }
  [[nodiscard]] double without_timers() const { return per_packet(cycles_ - in_ticks_); }
  [[nodiscard]] double median_burst() {
    const auto middle = bursts_.begin() + static_cast<std::ptrdiff_t>(bursts_.size() / 2);
    std::nth_element(bursts_.begin(), middle, bursts_.end());
    return *middle;
  }

 private:
  [[nodiscard]] double per_packet(std::uint64_t cycles) const {
    return static_cast<double>(cycles) / static_cast<double>(packets_);
  }
  std::uint64_t passes_ = 0;
  std::uint64_t kept_ = 0;
  std::uint64_t cycles_ = 0;
  std::uint64_t in_ticks_ = 0;
  std::uint64_t packets_ = 0;
  std::vector<float> bursts_;
};

}  // namespace synproxy::bench
