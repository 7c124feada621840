// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/clock.h"

#include <ctime>

namespace synproxy::dataplane {
namespace {

std::uint64_t read_ms(clockid_t id) {
  std::timespec t{};
  static_cast<void>(::clock_gettime(id, &t));  // fails for clocks that do not exist
  return static_cast<std::uint64_t>(t.tv_sec) * 1000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
}

// The start of EAL lies between the moment that control noted and this one. A longer time means
// that the wall clock was stepped, or that nobody noted anything; then the present moment is the
// start.
constexpr std::uint64_t kLongestStart = 600'000;

}  // namespace

Clock::Clock(std::uint64_t unix_ms_at_start) {
  const std::uint64_t since = read_ms(CLOCK_REALTIME) - unix_ms_at_start;
  zero_ms_ = read_ms(CLOCK_MONOTONIC) - (since < kLongestStart ? since : 0);
}

std::uint64_t Clock::now_ms() const { return read_ms(CLOCK_MONOTONIC) - zero_ms_; }

}  // namespace synproxy::dataplane
