// SPDX-License-Identifier: BSD-3-Clause
// What is read once per burst and stays the same for all its packets: the time, the epoch with its
// keys, the tuning.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/config.h"
#include "synproxy/cookie/epoch.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/layout.h"
#include "synproxy/proxy/earlier_tuning.h"

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

  // Puts the tuning in force. False: it was in force already.
  bool retune(const EngineTuning& to) {
    if (to == tuning_) return false;
    earlier_.changed(tuning_, to, epoch_.epoch, ms_);
    tuning_ = to;
    return true;
  }

  [[nodiscard]] std::uint64_t ms() const { return ms_; }
  [[nodiscard]] std::uint32_t ms32() const { return static_cast<std::uint32_t>(ms_); }
  // The clock that SplicedPart::mark_second counts in.
  [[nodiscard]] std::uint16_t second() const { return static_cast<std::uint16_t>(ms_ / 1000); }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_.epoch; }
  [[nodiscard]] std::uint64_t epoch_of_cookie(std::uint32_t isn) const {
    return epoch_of(epoch_, cookie_parity(isn));
  }
  [[nodiscard]] const WorkerKeys& keys() const { return keys_; }
  // The keys that an ACK's cookie is checked with. nullptr: it needs no check, because no cookie of
  // its epoch was sent. Where SYNs are always answered nearly every epoch has some, and where the
  // secret is shared others may have sent them.
  [[nodiscard]] const EpochKeys* keys_to_check(unsigned parity) const {
    const EpochKeys* keys = keys_.for_parity(parity);
    if (tuning_.mode == Mode::kAlways || keys == nullptr || shape_.shared_secret) [[likely]] {
      return keys;
    }
    return has_sent(*keys) ? keys : nullptr;
  }
  // Whether a cookie of that parity was sent here, by this process or an earlier one, and may still
  // be good.
  [[nodiscard]] bool may_be_ours(unsigned parity) const {
    const EpochKeys* keys = keys_.for_parity(parity);
    return keys != nullptr && has_sent(*keys);
  }
  // A cookie of the current epoch is sent.
  void note_cookie() { cookies_sent_[epoch_.epoch & 1U] = epoch_.epoch; }
  // An earlier process may have sent cookies, of this epoch and of the one before.
  void expect_earlier_cookies() {
    for (const std::uint64_t epoch : {epoch_.epoch - 1, epoch_.epoch}) {
      cookies_expected_[epoch & 1U] = epoch;
    }
  }
  [[nodiscard]] const EngineTuning& tuning() const { return tuning_; }
  [[nodiscard]] const EarlierTuning& earlier() const { return earlier_; }
  // The smallest and the largest early window that a client may have been shown.
  [[nodiscard]] std::uint32_t least_early_window() const {
    return earlier_.least_window(tuning_, epoch_.epoch);
  }
  [[nodiscard]] std::uint32_t most_early_window() const {
    return earlier_.most_window(tuning_, epoch_.epoch);
  }

 private:
  // An earlier process may have.
  [[nodiscard]] bool has_sent(const EpochKeys& keys) const {
    return cookies_sent_[keys.epoch & 1U] == keys.epoch ||
           cookies_expected_[keys.epoch & 1U] == keys.epoch;
  }

  const EngineShape shape_;
  EngineTuning tuning_;
  EarlierTuning earlier_;  // what earlier tunings have promised
  const KeyRing& ring_;
  WorkerKeys keys_;
  EpochClock epoch_;
  std::array<std::uint64_t, 2> cookies_sent_{};  // the last epoch of each parity that has sent some
  std::array<std::uint64_t, 2> cookies_expected_{};  // likewise, of an earlier process
  std::uint64_t ms_ = 0;
};

}  // namespace synproxy
