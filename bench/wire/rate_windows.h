// SPDX-License-Identifier: BSD-3-Clause
// A rate as the median over short windows, so that moments in which the machine was busy elsewhere
// do not matter.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "stand.h"

namespace synproxy::generator {

class RateWindows {
 public:
  explicit RateWindows(double seconds) : length_(ticks(kWindow)) {
    rates_.reserve(static_cast<std::size_t>(seconds / kWindow) + 2);
  }
  void begin(std::uint64_t at, std::uint64_t count) {
    since_ = at;
    count_ = count;
  }
  void observe(std::uint64_t at, std::uint64_t count) {
    if (at - since_ < length_) return;
    if (rates_.size() < rates_.capacity()) {
      rates_.push_back(static_cast<double>(count - count_) / seconds(at - since_));
    }
    begin(at, count);
  }
  [[nodiscard]] double median() {
    if (rates_.empty()) return 0;
    const auto middle = rates_.begin() + static_cast<std::ptrdiff_t>(rates_.size() / 2);
    std::nth_element(rates_.begin(), middle, rates_.end());
    return *middle;
  }

 private:
  static constexpr double kWindow = 0.01;  // seconds

  const std::uint64_t length_;
  std::uint64_t since_ = 0;
  std::uint64_t count_ = 0;
  std::vector<double> rates_;
};

}  // namespace synproxy::generator
