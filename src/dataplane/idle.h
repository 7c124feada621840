// SPDX-License-Identifier: BSD-3-Clause
// When a worker that finds nothing sleeps, and for how long.
//
// Theory of operation. A worker looks at its queues in turn; a look that brought something is
// busy(), one that did not asks what next(). Just after a frame more of them are near: it looks
// again at once (kSpin). Then it sleeps, by default in slices of a quarter of the silence so far
// (kShare), up to the limit: so a frame waits a quarter of the time that passed since the one
// before it at most, and an evening without traffic costs next to nothing. Each frame starts this
// again. Where the arrival of a frame ends the sleep (packet sockets, the doorbell), slices are
// needless: the worker sleeps until the next tick of the engine at once.
//
// Nobody looks meanwhile, so what arrives has to fit into the receive queue. A sleep that ended at
// a full burst was too long for what comes there: the worker then stays awake for kStayAwake.
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

// The limit is what was asked for, `asked_us`, for a queue of this many frames, and less in
// proportion for one that holds fewer.
inline constexpr std::uint32_t kUsualRing = 1024;

[[nodiscard]] constexpr std::uint32_t sleep_for_ring(std::uint32_t asked_us, std::uint32_t frames) {
  const std::uint64_t share = std::min(frames, kUsualRing);
  return static_cast<std::uint32_t>(asked_us * share / kUsualRing);
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
    std::uint64_t ticks = 0;  // of kSleep: at most
  };

  // A look at all queues brought so many frames.
  void busy(std::uint64_t now, unsigned frames) {
    if (slept_ && frames >= kMaxBurst) awake_until_ = now + stay_awake_;
    slept_ = false;
    busy_at_ = now;
  }

  // It brought none.
  [[nodiscard]] Step next(std::uint64_t now) {
    const std::uint64_t silence = now - busy_at_;
    if (silence < spin_) return {};
    // Whoever shares this CPU may have it: the one who would send us something, perhaps.
    if (longest_ == 0 || now < awake_until_) return {Step::What::kYield, 0};
    slept_ = true;
    return {Step::What::kSleep, woken_ ? longest_ : std::min(silence / kShare, longest_)};
  }

 private:
  // Parts of a second: 50 us, which a client that is answered by a server nearby does not exceed;
  // 10 ms, many times the gap between the bursts of one sender.
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
  bool slept_ = false;  // since something last arrived
};

}  // namespace synproxy::dataplane
