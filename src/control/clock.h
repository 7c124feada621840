// SPDX-License-Identifier: BSD-3-Clause
// Wall time without steps. It is read once when the program starts; CLOCK_MONOTONIC counts on from
// there.
#pragma once

#include <chrono>
#include <cstdint>

namespace synproxy::control {

// CLOCK_MONOTONIC: all processes read the same.
[[nodiscard]] inline std::uint64_t monotonic_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

class ProgramClock {
 public:
  [[nodiscard]] std::uint64_t unix_ms_at_start() const { return unix_ms_at_start_; }

  // Goes on evenly, whatever happens to the machine's time.
  [[nodiscard]] std::uint64_t unix_ms() const { return unix_ms_at_start_ + now_ms(); }

  // Milliseconds since the start of the program.
  [[nodiscard]] std::uint64_t now_ms() const {
    return ms(std::chrono::steady_clock::now() - start_);
  }

 private:
  template <typename D>
  static std::uint64_t ms(D duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::uint64_t unix_ms_at_start_ = ms(std::chrono::system_clock::now().time_since_epoch());
};

}  // namespace synproxy::control
