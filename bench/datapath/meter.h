// SPDX-License-Identifier: BSD-3-Clause
// From the costs of passes to the figures of one repetition.
//
// The mean is what a core pays: all cycles of all passes, ticks and page walks and pauses
// included, by the number of packets. Left out as a whole are passes in which the kernel gave the
// core to another thread, since a worker has its core to itself. The median of the bursts is beside
// it: what a burst costs when nothing happens.
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
  // Enough passes were undisturbed.
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
