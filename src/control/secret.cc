// SPDX-License-Identifier: BSD-3-Clause
#include "control/secret.h"

#include <stdexcept>
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

// No cookie was ever made in epoch 0.
std::uint64_t name_of(const MasterSecret& secret) {
  EpochKeys keys = secret.derive(0);
  const std::uint64_t name = keys.plain.k0 | 1;
  cleanse(keys);
  return name;
}

EpochKeeper::EpochKeeper(MasterSecret secret, KeyRing& ring, const EngineConfig& config,
                         KeptKeys kept)
    : secret_(std::move(secret)),
      kept_(std::move(kept)),
      ring_(ring),
      unix_ms_at_start_(config.shape.unix_ms_at_start),
      epoch_ms_(config.shape.epoch_ms) {
  go_on(epoch_at(unix_ms_at_start_, epoch_ms_).epoch);
  keep(0);
  // Not before the keys: a name with the keys of another secret would deceive the next process.
  if (kept_.store != nullptr) kept_.store->keep_secret(name_of(secret_));
}

// Of epochs whose keys the former process has published: as after replace().
void EpochKeeper::go_on(std::uint64_t epoch) {
  std::vector<EpochKeys> former = std::exchange(kept_.handed_over, {});
  if (kept_.store != nullptr && former.empty()) {
    former = kept_.store->keys(kept_.of_any_secret ? 0 : name_of(secret_));
  }
  for (EpochKeys& keys : former) {
    if (keys.epoch + 1 >= epoch && keys.epoch <= epoch + kEpochsAhead) {
      try {
        ring_.publish(keys);
        // Of a later epoch it was settled only if it is tight.
        if (keys.epoch <= epoch || keys.plain.tight) {
          static_cast<void>(ring_.settle_tight(keys.epoch, keys.plain.tight));
        }
      } catch (const std::invalid_argument&) {
        // Damaged; keep() derives them.
      }
    }
    cleanse(keys);
  }
}

EpochKeeper::~EpochKeeper() { ring_.clear(); }

std::optional<std::uint64_t> EpochKeeper::replace(MasterSecret secret, std::uint64_t now_ms) {
  if (secret == secret_) return std::nullopt;
  keep(now_ms);
  secret_ = std::move(secret);
  if (kept_.store != nullptr) kept_.store->keep_secret(name_of(secret_));
  const std::uint64_t unix_ms = unix_ms_at_start_ + now_ms;
  const std::uint64_t first = epoch_at(unix_ms, epoch_ms_).epoch + kEpochsAhead + 1;
  return first * epoch_ms_ - unix_ms;
}

std::uint64_t EpochKeeper::want_tight(bool tight, std::uint64_t now_ms) {
  ring_.want_tight(tight);
  const std::uint64_t unix_ms = unix_ms_at_start_ + now_ms;
  const EpochClock clock = epoch_at(unix_ms, epoch_ms_);
  // Workers settle the next epoch in the middle of this one.
  return (clock.epoch + (clock.second_half ? 2 : 1)) * epoch_ms_ - unix_ms;
}

std::vector<EpochKeys> EpochKeeper::published(std::uint64_t now_ms, std::uint64_t secret) const {
  std::vector<EpochKeys> out;
  if (secret != 0 && secret != name_of(secret_)) return out;
  const std::uint64_t epoch = epoch_at(unix_ms_at_start_ + now_ms, epoch_ms_).epoch;
  for (std::uint64_t e = epoch == 0 ? 0 : epoch - 1; e <= epoch + kEpochsAhead; ++e) {
    EpochKeys keys;
    if (ring_.read(e, keys)) {
      keys.plain.tight = ring_.settle_tight(e);
      out.push_back(keys);
    }
    cleanse(keys);
  }
  return out;
}

void EpochKeeper::keep(std::uint64_t now_ms) {
  const std::uint64_t epoch = epoch_at(unix_ms_at_start_ + now_ms, epoch_ms_).epoch;
  publish_epochs(ring_, secret_, epoch);
  if (kept_.store == nullptr) return;
  for (std::uint64_t e = epoch == 0 ? 0 : epoch - 1; e <= epoch + kEpochsAhead; ++e) {
    EpochKeys keys;
    if (ring_.read(e, keys)) {
      keys.plain.tight = ring_.is_tight(e);
      kept_.store->keep(keys);
    }
    cleanse(keys);
  }
}

}  // namespace synproxy::control
