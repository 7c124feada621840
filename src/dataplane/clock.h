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
  // Goes on from another process's clock: `zero_ms` is its zero_ms().
  [[nodiscard]] static Clock going_on(std::uint64_t zero_ms) {
    Clock clock;
    clock.zero_ms_ = zero_ms;
    return clock;
  }

  [[nodiscard]] std::uint64_t now_ms() const;

  // What CLOCK_MONOTONIC read when this one read 0, modulo 2^64.
  [[nodiscard]] std::uint64_t zero_ms() const { return zero_ms_; }

 private:
  Clock() = default;

  std::uint64_t zero_ms_ = 0;
};

}  // namespace synproxy::dataplane
