// SPDX-License-Identifier: BSD-3-Clause
// Decides when a worker that finds nothing sleeps, and for how long.
//
// Theory of operation. A worker looks at its queues in turn. It calls busy() after a look that
// brought something, and next() after one that did not. Soon after a frame, more are likely, so the
// worker looks again at once, for 50 us. Then it sleeps in slices of a quarter of the silence so
// far (kShare), up to the limit. So a frame waits at most a quarter of the time since the frame
// before it, and an evening without traffic costs next to nothing. Each frame starts this again. If
// the arrival of a frame ends the sleep (packet sockets, the doorbell), slices are needless: the
// worker sleeps for the whole limit, one tick of the engine.
//
// Nobody looks during a sleep, so the receive queue must hold what arrives. A sleep that ends at a
// full burst was too long for this traffic: the worker then stays awake for 10 ms.
//
// All times are ticks of the time-stamp counter.
#pragma once

#include <algorithm>
#include <cstdint>

#include "synproxy/base/packet.h"

namespace synproxy::dataplane {

// How long the worker may sleep at a time.
struct IdleLimit {
  std::uint32_t longest_us = 0;  // 0: never
  bool woken = false;            // the arrival of a frame ends the sleep
};

// The engine's clock counts milliseconds.
inline constexpr std::uint32_t kTickUs = 1000;

// A queue of this many frames allows sleeps of `asked_us`; one that holds fewer, proportionally
// less.
inline constexpr std::uint32_t kUsualRing = 1024;

[[nodiscard]] constexpr std::uint32_t sleep_for_ring(std::uint32_t asked_us, std::uint32_t frames) {
  const std::uint64_t share = std::min(frames, kUsualRing);
  return static_cast<std::uint32_t>(asked_us * share / kUsualRing);
}

// Whole microseconds. The product of all ticks and a million would pass 2^64 after two hours.
[[nodiscard]] constexpr std::uint64_t ticks_to_us(std::uint64_t ticks,
                                                  std::uint64_t ticks_per_second) {
  return ticks / ticks_per_second * 1'000'000 +
         ticks % ticks_per_second * 1'000'000 / ticks_per_second;
}

class IdleBackOff {
 public:
  IdleBackOff(std::uint64_t ticks_per_second, IdleLimit limit)
      : ticks_per_second_(ticks_per_second),
        spin_(ticks_per_second / kSpins),
        stay_awake_(ticks_per_second / kStaysAwake) {
    set_limit(limit);
  }

  // From the next sleep on.
  void set_limit(IdleLimit limit) {
    longest_ = ticks_per_second_ * limit.longest_us / 1'000'000;
    woken_ = limit.woken;
  }

  struct Step {
    enum class What : std::uint8_t { kLookAgain, kYield, kSleep };
    What what = What::kLookAgain;
    std::uint64_t ticks = 0;  // of kSleep: the longest sleep
  };

  // A look at all queues brought this many frames.
  void busy(std::uint64_t now, unsigned frames) {
    if (slept_ && frames >= kMaxBurst) awake_until_ = now + stay_awake_;
    slept_ = false;
    busy_at_ = now;
  }

  // A look at all queues brought none.
  [[nodiscard]] Step next(std::uint64_t now) {
    const std::uint64_t silence = now - busy_at_;
    if (silence < spin_) return {};
    // Offer the CPU to whoever shares it, who may be the one that sends us something.
    if (longest_ == 0 || now < awake_until_) return {Step::What::kYield, 0};
    slept_ = true;
    return {Step::What::kSleep, woken_ ? longest_ : std::min(silence / kShare, longest_)};
  }

 private:
  // Fractions of a second. 50 us: a client that talks to a nearby server does not pause longer. 10
  // ms: many times the gap between the bursts of one sender.
  static constexpr std::uint64_t kSpins = 20'000;
  static constexpr std::uint64_t kStaysAwake = 100;
  static constexpr std::uint64_t kShare = 4;

  const std::uint64_t ticks_per_second_;
  const std::uint64_t spin_;
  const std::uint64_t stay_awake_;
  std::uint64_t longest_ = 0;
  bool woken_ = false;
  std::uint64_t busy_at_ = 0;
  std::uint64_t awake_until_ = 0;
  bool slept_ = false;  // since frames last arrived
};

}  // namespace synproxy::dataplane
