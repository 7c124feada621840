// SPDX-License-Identifier: BSD-3-Clause
// Time as the cookies see it: the current epoch, the epoch of a cookie, and a worker's own keys.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/cookie/key_ring.h"

namespace synproxy {

struct EpochClock {
  std::uint64_t epoch = 0;   // Unix time divided by the length of an epoch
  bool second_half = false;  // of that epoch

  friend bool operator==(const EpochClock&, const EpochClock&) = default;
};

// `epoch_ms` is not 0. If it is odd, the second half begins with the first whole millisecond after
// the middle.
[[nodiscard]] constexpr EpochClock epoch_at(std::uint64_t unix_ms, std::uint32_t epoch_ms) {
  const std::uint64_t into = unix_ms % epoch_ms;
  return {.epoch = unix_ms / epoch_ms, .second_half = 2 * into >= epoch_ms};
}

// The epoch of a cookie with this parity. The parity of the current epoch means the current epoch.
// The other parity means the previous epoch during the first half of an epoch, and the next one
// during the second half: then the clock of another proxy is ahead. So a cookie lives 0.5 to 1.5
// epochs, and clocks may differ by half an epoch.
[[nodiscard]] constexpr std::uint64_t epoch_of(const EpochClock& clock, unsigned parity) {
  if ((clock.epoch & 1U) == (parity & 1U)) {
    return clock.epoch;
  }
  return clock.second_half ? clock.epoch + 1 : clock.epoch - 1;
}

// A worker's own copy of the three keys that can matter to it, so that it touches no atomic per
// packet.
class WorkerKeys {
 public:
  WorkerKeys() = default;
  ~WorkerKeys();  // wipes the copies
  WorkerKeys(const WorkerKeys&) = delete;
  WorkerKeys& operator=(const WorkerKeys&) = delete;

  // Call it once per burst. It does nothing while the clock stays in the same half of the same
  // epoch, unless a key is still missing: then it looks again.
  void refresh(const KeyRing& ring, const EpochClock& clock) {
    if (clock == clock_ && complete_) [[likely]] {
      return;
    }
    load(ring, clock);
  }

  // The keys for a cookie with this parity; nullptr while they are not published, and before the
  // first refresh. Valid until the next refresh.
  [[nodiscard]] const EpochKeys* for_parity(unsigned parity) const {
    const unsigned slot = by_parity_[parity & 1U];
    return slot == kNone ? nullptr : &copies_[slot];
  }
  // The keys to make cookies with now.
  [[nodiscard]] const EpochKeys* current() const { return for_parity(clock_.epoch & 1U); }

 private:
  static constexpr std::uint8_t kNone = 0xff;
  static constexpr std::uint64_t kNoEpoch = ~0ULL;

  void load(const KeyRing& ring, const EpochClock& clock);

  EpochClock clock_;
  bool complete_ = false;  // previous, current and next are all here
  std::array<std::uint8_t, 2> by_parity_{kNone, kNone};
  std::array<std::uint64_t, 3> held_{kNoEpoch, kNoEpoch, kNoEpoch};  // epoch in each copy
  std::array<EpochKeys, 3> copies_{};  // an epoch's slot is epoch mod 3
};

}  // namespace synproxy
