// SPDX-License-Identifier: BSD-3-Clause
// How large a share of the new SYNs is answered, while more arrive than can be.
//
// Theory of operation. SYNs wait in a short queue; what finds it full is refused. Each step (a
// millisecond or more) looks at what happened since the last one. The queue ran empty and refused
// nothing: there was time for more, and the share rises by a thousandth of the whole for each
// millisecond. The queue has not run empty in kStandingSteps steps: it stands, the share is too
// large, and falls by an eighth (the rule of CoDel, RFC 8289: a queue that empties is a burst, one
// that stands is overload). Neither: it stays.
//
// A refusal alone says little. A worker that loses its CPU for a quarter of a millisecond finds a
// device's ring full afterwards, and the next instant it has time again. When each of these took a
// quarter of the share, a worker with time for nearly all of a flood was held at a quarter of it.
//
// A flood that comes at once is met within thirty steps, and until then refused by the queue, which
// costs its clients a try and nobody else anything. After its end the share is whole again within a
// second.
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
  static constexpr unsigned kStandingSteps = 3;

  [[nodiscard]] std::uint32_t share() const { return share_; }
  [[nodiscard]] bool whole() const { return share_ == kWhole; }

  // Since the last step.
  void step(std::uint64_t now_ms, bool refused, bool ran_empty) {
    if (now_ms <= stepped_ms_) return;
    const std::uint64_t elapsed = now_ms - stepped_ms_;
    stepped_ms_ = now_ms;
    // A step that took long was a worker without its CPU: one step of standing, however long.
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
