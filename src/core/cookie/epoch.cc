// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/epoch.h"

#include <openssl/crypto.h>

namespace synproxy {

WorkerKeys::~WorkerKeys() { OPENSSL_cleanse(copies_.data(), sizeof copies_); }

void WorkerKeys::load(const KeyRing& ring, const EpochClock& clock) {
  clock_ = clock;
  complete_ = true;
  for (const std::uint64_t epoch : {clock.epoch - 1, clock.epoch, clock.epoch + 1}) {
    const std::size_t slot = epoch % copies_.size();
    if (epoch == kNoEpoch || held_[slot] == epoch) {  // epoch 0 has no predecessor
      continue;
    }
    // The old key stays in the slot until the new one arrives, but nothing points to it any more.
    if (ring.read(epoch, copies_[slot])) {
      held_[slot] = epoch;
    } else {
      complete_ = false;
    }
  }
  // Before the middle of this epoch no worker, however far its clock is ahead, needs the next one.
  const std::uint64_t last = clock.second_half ? clock.epoch + 1 : clock.epoch;
  for (std::uint64_t epoch = clock.epoch - 1; epoch != last + 1; ++epoch) {
    if (epoch != kNoEpoch) copies_[epoch % copies_.size()].plain.tight = ring.settle_tight(epoch);
  }
  for (unsigned parity = 0; parity < 2; ++parity) {
    const std::uint64_t epoch = epoch_of(clock, parity);
    const std::size_t slot = epoch % copies_.size();
    const bool held = epoch != kNoEpoch && held_[slot] == epoch;
    by_parity_[parity] = held ? static_cast<std::uint8_t>(slot) : kNone;
  }
}

}  // namespace synproxy
