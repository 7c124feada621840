// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/config.h"
#include "base/flow_store.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/cookie/master_secret.h"

namespace synproxy::control {

// The master secret of --secret-file, or a random one. Throws UsageError for the file, and
// RuntimeFailure if the system gives no random bytes.
[[nodiscard]] MasterSecret load_secret(const Config& config);

// Tells secrets apart, never 0.
[[nodiscard]] std::uint64_t name_of(const MasterSecret& secret);

// Where the keys wait for the next process, so that it accepts the cookies of this one.
struct KeptKeys {
  FlowStore* store = nullptr;  // nullptr: they end with this process
  // Each process draws a secret of its own. Otherwise keys of another secret count for nothing: who
  // gives another file and restarts wants the old secret to be worthless.
  bool of_any_secret = false;
  std::vector<EpochKeys> handed_over{};  // by a process that still runs; wiped when they are taken
};

// Keeps the keys of the cookies up to date. Publishes them well before a worker can need them, and
// wipes them at the end.
class EpochKeeper {
 public:
  // Publishes at once. `ring` and the store outlive it.
  EpochKeeper(MasterSecret secret, KeyRing& ring, const EngineConfig& config, KeptKeys kept = {});
  ~EpochKeeper();
  EpochKeeper(const EpochKeeper&) = delete;
  EpochKeeper& operator=(const EpochKeeper&) = delete;

  // Publishes the keys that are due. Call at least once an epoch. `now_ms`: since the start of the
  // program.
  void keep(std::uint64_t now_ms);

  // The keys that are published, for a process that takes over, and settled what their cookies are.
  // None if its secret is another one: `secret` is its name_of(), 0: it has drawn one of its own.
  [[nodiscard]] std::vector<EpochKeys> published(std::uint64_t now_ms, std::uint64_t secret) const;

  // Whether plain cookies shall be tight, from the first epoch on for which that is not settled.
  // Returns the milliseconds until it begins.
  std::uint64_t want_tight(bool tight, std::uint64_t now_ms);

  // Uses another secret for the epochs whose keys are not published yet. Published are the present
  // epoch and the two that follow. So cookies that clients hold stay good until they expire, and
  // proxies that get the same secret in the same epoch change over at the same moment. Returns the
  // milliseconds until cookies are made with the new secret; nullopt if it is the one in use.
  [[nodiscard]] std::optional<std::uint64_t> replace(MasterSecret secret, std::uint64_t now_ms);

 private:
  void go_on(std::uint64_t epoch);

  MasterSecret secret_;
  KeptKeys kept_;
  KeyRing& ring_;
  std::uint64_t unix_ms_at_start_;
  std::uint32_t epoch_ms_;
};

}  // namespace synproxy::control
