// SPDX-License-Identifier: BSD-3-Clause
// What a service manager is told, by the protocol of sd_notify(3): READY=1 when every worker runs,
// RELOADING=1, STOPPING=1, rates as STATUS=, and WATCHDOG=1 while every worker makes progress. It
// does nothing where no manager asked for it (NOTIFY_SOCKET).
//
// A manager also keeps memory for the next process (FDSTORE=1), and hands it over at the start.
//
// It has a thread of its own: a manager that does not read must not hold the control thread, and a
// long reload must not look like a worker that hangs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "control/clock.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// Whether a service manager has started this process.
[[nodiscard]] bool has_manager();

// Memory that the manager has kept since a former process; -1: nothing yet. nullopt: there is no
// manager, or it has said FDSTORE=0. Ask once, before there are threads; the caller closes it.
[[nodiscard]] std::optional<int> memory_of_manager();

class Service {
 public:
  static constexpr std::chrono::milliseconds kLook{200};
  static constexpr std::uint64_t kStatusMs = 2000;
  // The control thread may read large files for so long before it counts as hanging.
  static constexpr std::uint64_t kControlPatienceMs = 60'000;
  static constexpr std::chrono::seconds kLastPatience{1};

  // After Signals, whose mask the thread inherits. Both outlive it. `to_keep`: a descriptor that
  // the manager is to keep instead of what it has kept; -1: none. Throws RuntimeFailure.
  Service(const dataplane::Dataplane& dataplane, const ProgramClock& clock, int to_keep = -1);
  ~Service();  // sends what is left, and waits kLastPatience at most
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void alive();  // the control thread has done its round
  void reloading();
  void reloaded();
  void stopping();

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's too: a manager that does not read may hold it
};

}  // namespace synproxy::control
