// SPDX-License-Identifier: BSD-3-Clause
// How large a share of the new SYNs is answered, while more arrive than can be.
//
// Theory of operation. SYNs wait in a short queue; what finds it full is refused. Each step (a
// millisecond or more) looks at what happened since the last one. Something was refused: the share
// was too large, and falls by a quarter. The queue ran empty: there was time for more, and the
// share rises by a thousandth of the whole for each millisecond. Neither: it stays. A flood that
// comes at once is met within ten steps, and after its end the share is whole again within a
// second. In between the share swings by a quarter around what the worker can answer: too little
// by that much costs nothing that a flood had not cost before, too much is refused by the queue.
//
// It never falls below kSmallestShare, so that some are always answered, whatever was measured.
#pragma once

#include <algorithm>
#include <cstdint>

namespace synproxy {

class ShareControl {
 public:
  static constexpr std::uint32_t kWhole = 0xffffffffU;  // of 2^32, as all shares
  static constexpr std::uint32_t kSmallestShare = kWhole / 64;

  [[nodiscard]] std::uint32_t share() const { return share_; }
  [[nodiscard]] bool whole() const { return share_ == kWhole; }

  // Since the last step.
  void step(std::uint64_t now_ms, bool refused, bool ran_empty) {
    if (now_ms <= stepped_ms_) return;
    const std::uint64_t elapsed = now_ms - stepped_ms_;
    stepped_ms_ = now_ms;
    if (refused) {
      share_ = std::max(kSmallestShare, share_ - share_ / 4);
    } else if (ran_empty) {
      const std::uint64_t rise = std::min<std::uint64_t>(elapsed, kSteps) * (kWhole / kSteps);
      share_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(kWhole, share_ + rise));
    }
  }

 private:
  static constexpr std::uint32_t kSteps = 1000;  // milliseconds from nothing to everything

  std::uint32_t share_ = kWhole;
  std::uint64_t stepped_ms_ = 0;
};

}  // namespace synproxy
