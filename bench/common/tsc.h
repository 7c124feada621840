// SPDX-License-Identifier: BSD-3-Clause
// The time-stamp counter, the unit of the budgets.
#pragma once

#include <x86intrin.h>

#include <chrono>
#include <cstdint>

namespace synproxy::bench {

[[nodiscard]] inline std::uint64_t read_tsc() { return __rdtsc(); }

// Ticks per second, measured once against the monotonic clock, over 50 ms.
[[nodiscard]] inline double tsc_hz() {
  static const double hz = [] {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const std::uint64_t first = read_tsc();
    while (Clock::now() - begin < std::chrono::milliseconds(50)) {
    }
    const std::uint64_t last = read_tsc();
    const std::chrono::duration<double> passed = Clock::now() - begin;
    return static_cast<double>(last - first) / passed.count();
  }();
  return hz;
}

}  // namespace synproxy::bench
