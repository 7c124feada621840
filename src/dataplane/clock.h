// SPDX-License-Identifier: BSD-3-Clause
// The workers' milliseconds: CLOCK_MONOTONIC, read seldom. The time-stamp counter only says when to
// look at the clock, so its calibration error never adds up.
#pragma once

#include <cstdint>

namespace synproxy::dataplane {

class Clock {
 public:
  // Sets the origin so that unix_ms_at_start + now_ms() is wall time.
  explicit Clock(std::uint64_t unix_ms_at_start);

  [[nodiscard]] std::uint64_t now_ms() const;

 private:
  std::uint64_t zero_ms_;  // of CLOCK_MONOTONIC, modulo 2^64
};

}  // namespace synproxy::dataplane
