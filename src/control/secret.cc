// SPDX-License-Identifier: BSD-3-Clause
#include "control/secret.h"

#include <utility>

#include "base/errors.h"
#include "control/privileges.h"
#include "synproxy/cookie/epoch.h"

namespace synproxy::control {

MasterSecret load_secret(const Config& config) {
  const bool from_file = !config.secret_file.empty();
  try {
    if (!from_file) return MasterSecret::random();
    const auto user = find_user(config.user);
    return MasterSecret::from_file(config.secret_file, user ? user->uid : 0);
  } catch (const std::runtime_error& error) {
    if (from_file) {
      throw UsageError("--secret-file " + config.secret_file + ": " + error.what());
    }
    throw RuntimeFailure(error.what());
  }
}

EpochKeeper::EpochKeeper(MasterSecret secret, KeyRing& ring, const EngineConfig& config)
    : secret_(std::move(secret)),
      ring_(ring),
      unix_ms_at_start_(config.shape.unix_ms_at_start),
      epoch_ms_(config.shape.epoch_ms) {
  keep(0);
}

EpochKeeper::~EpochKeeper() { ring_.clear(); }

std::optional<std::uint64_t> EpochKeeper::replace(MasterSecret secret, std::uint64_t now_ms) {
  if (secret == secret_) return std::nullopt;
  keep(now_ms);
  secret_ = std::move(secret);
  const std::uint64_t unix_ms = unix_ms_at_start_ + now_ms;
  const std::uint64_t first = epoch_at(unix_ms, epoch_ms_).epoch + kEpochsAhead + 1;
  return first * epoch_ms_ - unix_ms;
}

void EpochKeeper::keep(std::uint64_t now_ms) {
  publish_epochs(ring_, secret_, epoch_at(unix_ms_at_start_ + now_ms, epoch_ms_).epoch);
}

}  // namespace synproxy::control
