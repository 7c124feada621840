// SPDX-License-Identifier: BSD-3-Clause
// What is read once per burst and then the same for every packet in it: the time, the epoch with
// its keys, the tuning.
#pragma once

#include <cstdint>

#include "synproxy/base/config.h"
#include "synproxy/cookie/epoch.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/layout.h"

namespace synproxy {

class Moment {
 public:
  Moment(const EngineConfig& config, const KeyRing& ring)
      : shape_(config.shape), tuning_(config.tuning), ring_(ring) {}

  // `now_ms`: of the worker's clock, which never goes back.
  void begin(std::uint64_t now_ms) {
    if (now_ms == ms_ && epoch_.epoch != 0) return;
    ms_ = now_ms;
    epoch_ = epoch_at(shape_.unix_ms_at_start + now_ms, shape_.epoch_ms);
    keys_.refresh(ring_, epoch_);
  }

  [[nodiscard]] std::uint64_t ms() const { return ms_; }
  [[nodiscard]] std::uint32_t ms32() const { return static_cast<std::uint32_t>(ms_); }
  // The clock of SplicedPart::mark_second.
  [[nodiscard]] std::uint16_t second() const { return static_cast<std::uint16_t>(ms_ / 1000); }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_.epoch; }
  [[nodiscard]] std::uint64_t epoch_of_cookie(std::uint32_t isn) const {
    return epoch_of(epoch_, cookie_parity(isn));
  }
  [[nodiscard]] const WorkerKeys& keys() const { return keys_; }
  [[nodiscard]] const EngineTuning& tuning() const { return tuning_; }

 private:
  const EngineShape shape_;
  const EngineTuning tuning_;
  const KeyRing& ring_;
  WorkerKeys keys_;
  EpochClock epoch_;
  std::uint64_t ms_ = 0;
};

}  // namespace synproxy
