// SPDX-License-Identifier: BSD-3-Clause
// What the control thread does while the workers run: it publishes keys and tuning, reads counters
// and lets the dataplane watch its ports. It never touches a worker.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/config.h"
#include "control/activation_lines.h"
#include "control/events.h"
#include "control/reload.h"
#include "control/secret.h"
#include "control/tight_cookies.h"
#include "control/totals.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

class Supervisor {
 public:
  // Short enough for the shortest --epoch. The ports are watched once a second.
  static constexpr std::chrono::milliseconds kTick{250};

  Supervisor(const Config& config, dataplane::Dataplane& dataplane, EpochKeeper& keys);

  // Any thread may call these; one at a time does its work.

  void tick(std::uint64_t now_ms);  // since the start of the program

  // What became of a change, in the words of the line that was printed.
  struct Outcome {
    std::string text;
    bool done = true;
    bool usage = false;  // the asker can mend it
  };
  // Reads the files again and puts their settings in force, or none of them if there is any error.
  // Prints one line either way. `who` asked; empty: SIGHUP.
  Outcome reload(Reloader& reloader, std::uint64_t now_ms, const std::string& who = {});
  // Puts one key's values in force, or takes back what was set. Prints one line if that was done.
  // Throws UsageError.
  std::string set(Reloader& reloader, const std::string& key,
                  const std::vector<std::string>& values, const std::string& who);
  std::string unset(Reloader& reloader, const std::string& key, const std::string& who);

  // While it is held nothing changes.
  [[nodiscard]] std::unique_lock<std::mutex> hold() { return std::unique_lock(mutex_); }

 private:
  void watch(std::uint64_t now_ms);
  void watch_cookies(std::uint64_t now_ms, std::vector<std::string>& lines);
  // On a thread of its own, which gives way to workers: a long list takes a second. Keys are kept
  // meanwhile.
  Reload read_aside(const Reloader& reloader, std::uint64_t now_ms);
  void apply(Reload next, std::vector<std::string>& changes, std::uint64_t now_ms);
  std::string change(Reloader& reloader, Reload next, const std::string& key,
                     const std::string& who);

  std::mutex mutex_;
  Config config_;
  dataplane::Dataplane& dataplane_;
  EpochKeeper& keys_;
  Events events_;
  ActivationLines activation_lines_;
  TightCookies tight_cookies_;
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

// Takes a signal that stops the program while DPDK and the ports are being started, which has no
// end of its own if a driver or another process does not answer. The start may go on for kGrace;
// then the signal waits for Signals::wait(). Otherwise the program ends, with one line and
// status 1.
class StartWatch {
 public:
  static constexpr std::chrono::seconds kGrace{5};

  StartWatch();   // after Signals; throws RuntimeFailure
  ~StartWatch();  // the start is over
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;
};

[[nodiscard]] Totals totals_of(const dataplane::Dataplane& dataplane);

// "ready: client-port eth1, server-port eth2, protecting 203.0.113.10:80, 1 worker (cpu 0)"
[[nodiscard]] std::string ready_line(const Config& config, const dataplane::Dataplane& dataplane);

}  // namespace synproxy::control
