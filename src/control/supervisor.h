// SPDX-License-Identifier: BSD-3-Clause
// What the control thread does while the workers run. It touches no worker: it publishes keys,
// reads counters and lets the dataplane look after its ports.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/config.h"
#include "control/secret.h"
#include "control/totals.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

class Supervisor {
 public:
  // Often enough for the shortest --epoch; the rest happens once a second.
  static constexpr std::chrono::milliseconds kTick{250};

  Supervisor(const Config& config, dataplane::Dataplane& dataplane, EpochKeeper& keys);

  void tick(std::uint64_t now_ms);  // since the start of the program

 private:
  void watch_ports();

  const Config& config_;
  dataplane::Dataplane& dataplane_;
  EpochKeeper& keys_;
  std::uint64_t watched_ms_ = 0;
  std::uint64_t counted_ms_ = 0;
  bool counting_ = false;
  Totals counted_;
};

// SIGINT, SIGTERM and SIGHUP, the last not where it was ignored at the start (nohup). They reach
// nobody but wait(): to be made before any other thread, which inherits the mask.
class StopSignals {
 public:
  StopSignals();
  // True as soon as one has come; false after `patience`.
  [[nodiscard]] bool wait(std::chrono::milliseconds patience) const;
};

[[nodiscard]] Totals totals_of(const dataplane::Dataplane& dataplane);

// "ready: client-port eth1, server-port eth2, protecting 203.0.113.10:80, 1 worker (cpu 0)"
[[nodiscard]] std::string ready_line(const Config& config, const dataplane::Dataplane& dataplane);

}  // namespace synproxy::control
