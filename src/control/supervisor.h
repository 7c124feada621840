// SPDX-License-Identifier: BSD-3-Clause
// What the control thread does while the workers run: it publishes keys and tuning, reads counters
// and lets the dataplane watch its ports. It never touches a worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "control/reload.h"
#include "control/secret.h"
#include "control/totals.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

class Supervisor {
 public:
  // Short enough for the shortest --epoch. The ports are watched once a second.
  static constexpr std::chrono::milliseconds kTick{250};

  Supervisor(const Config& config, dataplane::Dataplane& dataplane, EpochKeeper& keys);

  void tick(std::uint64_t now_ms);  // since the start of the program

  // Reads the files again and puts their settings in force, or none of them if there is any error.
  // Prints one line either way.
  void reload(Reloader& reloader, std::uint64_t now_ms);

 private:
  void watch_ports();
  void apply(Reload next, std::vector<std::string>& changes, std::uint64_t now_ms);

  Config config_;
  dataplane::Dataplane& dataplane_;
  EpochKeeper& keys_;
  std::uint64_t watched_ms_ = 0;
  std::uint64_t counted_ms_ = 0;
  bool counting_ = false;
  Totals counted_;
};

// SIGINT, SIGTERM and SIGQUIT, which stop the program, and SIGHUP, which asks for a reload; under
// nohup too. Signals that mean nothing here and would kill by default are ignored.
// They reach nobody but wait(): to be made before any other thread, which inherits the mask.
class Signals {
 public:
  enum class What : std::uint8_t { kNone, kReload, kStop };

  Signals();
  // Waits for a signal; kNone if none came within `patience`. Several SIGHUPs may count as one.
  [[nodiscard]] What wait(std::chrono::milliseconds patience) const;
};

[[nodiscard]] Totals totals_of(const dataplane::Dataplane& dataplane);

// "ready: client-port eth1, server-port eth2, protecting 203.0.113.10:80, 1 worker (cpu 0)"
[[nodiscard]] std::string ready_line(const Config& config, const dataplane::Dataplane& dataplane);

}  // namespace synproxy::control
