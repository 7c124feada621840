// SPDX-License-Identifier: BSD-3-Clause
// --confirm: whether the operator still reaches the host after its addresses have moved.
#pragma once

#include <atomic>
#include <cstdint>

namespace synproxy::control {

class Confirmation {
 public:
  explicit Confirmation(unsigned seconds) : wanted_(seconds != 0), seconds_(seconds) {}

  // From here on the time runs.
  void begin(std::uint64_t now_ms) { until_ms_ = now_ms + std::uint64_t{seconds_} * 1000; }
  // False: nothing is asked, or it was confirmed already. Any thread may call it.
  bool confirm() { return wanted_.exchange(false); }
  [[nodiscard]] bool wanted() const { return wanted_; }
  [[nodiscard]] bool lapsed(std::uint64_t now_ms) const { return wanted_ && now_ms >= until_ms_; }

 private:
  std::atomic<bool> wanted_;
  const unsigned seconds_;
  std::uint64_t until_ms_ = 0;
};

}  // namespace synproxy::control
