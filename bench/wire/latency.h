// SPDX-License-Identifier: BSD-3-Clause
// Latencies of a step: percentiles over the whole step, and their medians over short windows. If
// the machine takes a CPU away for milliseconds, the tail of the whole step shows the machine; the
// median window shows the contender.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "histogram.h"

namespace synproxy::generator {

class Latency {
 public:
  // `seconds`: how long the step will take.
  explicit Latency(double seconds);

  // `at` is now; `at` and `took` are in ticks.
  void add(std::uint64_t at, std::uint64_t took) {
    if (at - since_ >= window_) close(at);
    current_.add(took);
  }
  // An answer that does not count: it waited while we did not run.
  void set_aside() { ++set_aside_; }

  [[nodiscard]] nlohmann::json report() const;

 private:
  static constexpr std::array<double, 3> kShares{0.5, 0.99, 0.999};
  using Percentiles = std::array<double, kShares.size()>;

  static Percentiles percentiles(const Histogram& of);
  void close(std::uint64_t at);

  const std::uint64_t window_;
  std::uint64_t since_ = 0;
  Histogram current_;
  Histogram all_;
  std::vector<Percentiles> windows_;
  std::uint64_t set_aside_ = 0;
};

}  // namespace synproxy::generator
