// SPDX-License-Identifier: BSD-3-Clause
// Decides which share of the new SYNs is answered while more arrive than can be.
//
// Theory of operation. SYNs wait in a short queue, which refuses them when it is full. Each step (a
// millisecond or more) looks at what happened since the last one. If the queue ran empty and
// refused nothing, there was time for more: the share rises by a thousandth of the whole for each
// millisecond. If the queue has not run empty in kStandingSteps steps, the share is too large: it
// falls by an eighth with each further step. (This is the rule of CoDel, RFC 8289: a queue that
// empties is a burst, one that stands is overload.) Otherwise the share stays.
//
// A refusal alone says little. A worker that loses its CPU for a quarter of a millisecond finds the
// device's ring full afterwards, and has time again the next instant. An earlier version took a
// quarter of the share for each refusal; it held a worker that had time for nearly all of a flood
// at a quarter of it.
//
// The share meets a sudden flood within 35 steps. Until then the queue refuses the surplus, which
// costs new clients a try and nobody else anything. The share is whole again within a second after
// the flood.
//
// The share never falls below kSmallestShare, so that some SYNs are always answered.
#pragma once

#include <algorithm>
#include <cstdint>

namespace synproxy {

class ShareControl {
 public:
  static constexpr std::uint32_t kWhole = 0xffffffffU;  // of 2^32, as all shares
  static constexpr std::uint32_t kSmallestShare = kWhole / 64;
  static constexpr unsigned kStandingSteps = 3;

  [[nodiscard]] std::uint32_t share() const { return share_; }
  [[nodiscard]] bool whole() const { return share_ == kWhole; }

  // Since the last step.
  void step(std::uint64_t now_ms, bool refused, bool ran_empty) {
    if (now_ms <= stepped_ms_) return;
    const std::uint64_t elapsed = now_ms - stepped_ms_;
    stepped_ms_ = now_ms;
    // A long step means that the worker had no CPU: it counts as one step, however long.
    standing_ = ran_empty ? 0 : standing_ + 1;
    if (standing_ >= kStandingSteps) {
      share_ = std::max(kSmallestShare, share_ - share_ / 8);
    } else if (ran_empty && !refused) {
      const std::uint64_t rise = std::min<std::uint64_t>(elapsed, kSteps) * (kWhole / kSteps);
      share_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(kWhole, share_ + rise));
    }
  }

 private:
  static constexpr std::uint32_t kSteps = 1000;  // milliseconds from nothing to everything

  std::uint32_t share_ = kWhole;
  std::uint64_t stepped_ms_ = 0;
  unsigned standing_ = 0;  // steps in a row in which the queue did not run empty
};

}  // namespace synproxy
