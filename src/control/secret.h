// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>

#include "base/config.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/master_secret.h"

namespace synproxy::control {

// The master secret of --secret-file, or a random one. Throws UsageError, and RuntimeFailure where
// the system gives no randomness.
[[nodiscard]] MasterSecret load_secret(const Config& config);

// The keys of the cookies over time: published well before a worker can need them, wiped at the
// end.
class EpochKeeper {
 public:
  // Publishes at once. `ring` outlives it.
  EpochKeeper(MasterSecret secret, KeyRing& ring, const EngineConfig& config);
  ~EpochKeeper();
  EpochKeeper(const EpochKeeper&) = delete;
  EpochKeeper& operator=(const EpochKeeper&) = delete;

  // `now_ms` since the start of the program. At least once an epoch.
  void keep(std::uint64_t now_ms);

  // Another secret for the epochs whose keys are not published yet: two of them are, beside the
  // present one. So the cookies that are out there stay good until they expire, and a proxy that
  // is given the same secret in the same epoch changes over at the same moment. Returns the
  // milliseconds until cookies are made with it; nothing if it is the secret in use.
  [[nodiscard]] std::optional<std::uint64_t> replace(MasterSecret secret, std::uint64_t now_ms);

 private:
  MasterSecret secret_;
  KeyRing& ring_;
  std::uint64_t unix_ms_at_start_;
  std::uint32_t epoch_ms_;
};

}  // namespace synproxy::control
