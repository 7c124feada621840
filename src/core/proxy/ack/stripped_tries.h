// SPDX-License-Identifier: BSD-3-Clause
// How many ACKs are looked at twice.
//
// Theory of operation. Some devices take the timestamps out of a SYN-ACK, or out of every segment
// after the SYN. The ACK that comes back then has none, and its cookie is one of the layout with
// timestamps. So an ACK without timestamps that fits no plain cookie is tried as one of those, with
// MACs of its own. Nearly all that reach this point are guesses of a flood, so there is a budget: a
// flood pays for it only so often, and it bounds what a second try is worth to an attacker
// (docs/cookie.md). The client behind such a device repeats its ACK with its data.
#pragma once

#include <cstdint>

namespace synproxy {

class StrippedTries {
 public:
  static constexpr unsigned kPerMs = 32;

  [[nodiscard]] unsigned left(std::uint64_t now_ms) const { return now_ms == ms_ ? left_ : kPerMs; }
  // False: the budget of this millisecond is spent.
  [[nodiscard]] bool take(std::uint64_t now_ms) {
    left_ = left(now_ms);
    ms_ = now_ms;
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  std::uint64_t ms_ = 0;
  unsigned left_ = kPerMs;
};

}  // namespace synproxy
