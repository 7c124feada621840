// SPDX-License-Identifier: BSD-3-Clause
// The predecessor's part of --take-over: what it is asked at the control socket (hand_over_wire.h).
//
// Theory of operation. Until the workers stop nothing has happened. From then on the successor has
// kPatience to say that its own workers run; meanwhile the only change in this process is that it
// has closed the ports that only one process can have. It opens them again and goes on where it
// stopped if the successor dies or says nothing. Once it has said so, this process leaves without
// putting anything back: interfaces, sockets and files are the successor's.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/config.h"
#include "control/clock.h"
#include "control/confirmation.h"
#include "control/host_end.h"
#include "control/requests.h"
#include "control/secret.h"
#include "control/supervisor.h"
#include "dataplane/carrying.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

class HandOver {
 public:
  static constexpr std::chrono::seconds kPatience{5};
  // With a NIC the successor resets the device and makes its workers only after the stop.
  static constexpr std::chrono::seconds kPatienceWithNics{20};
  // How often this process tries to open its ports again once the successor has ended: once in each
  // tick, because a process that was killed may hold them for a moment longer.
  static constexpr unsigned kTries = 8;
  static constexpr std::chrono::seconds kFarewell{1};

  // All outlive it. `listener`: of --metrics, -1: none. `managed`: a service manager waits for the
  // end of this very process.
  struct Parts {
    Supervisor& supervisor;
    dataplane::Dataplane& dataplane;
    EpochKeeper& keys;
    const Config& config;
    const ProgramClock& clock;
    int listener = -1;
    bool managed = false;
    const HostEnd* host_end = nullptr;  // of --server-port host
    const Confirmation* confirmation = nullptr;
  };
  explicit HandOver(const Parts& parts) : parts_(parts), state_(std::make_shared<State>()) {}

  void add_requests(Requests& requests);

  // Goes on where it stopped if the successor has failed. Call it a few times a second. Throws
  // RuntimeFailure if a port cannot be opened any more.
  void tick();
  // A successor has the connections, or is about to.
  [[nodiscard]] bool begun() const;
  // After begun(), when the process is to end: waits kFarewell at most until the successor has what
  // it wants.
  void wait_for_successor();

 private:
  enum class Phase : std::uint8_t { kServing, kStopped, kOver };
  struct State {
    std::mutex mutex;
    std::condition_variable news;
    Phase phase = Phase::kServing;
    pid_t successor = 0;
    std::chrono::steady_clock::time_point asked;
    bool left_alone = false;  // the successor has hung up
    bool told = false;        // the log says that a port is missing
    unsigned tries = 0;       // to open the ports again
    std::optional<dataplane::Giver> giver;
  };
  class Handing;
  class Carrying;
  class Farewell;

  void refuse_what_cannot_work(const Requests::Json& request, const Peer& peer);
  [[nodiscard]] std::chrono::seconds patience() const;
  [[nodiscard]] std::string open_ports(bool gone);
  [[nodiscard]] std::unique_ptr<Answer> ask(const Requests::Json& request, const Peer& peer);
  [[nodiscard]] std::unique_ptr<Answer> copy(const Peer& peer);
  [[nodiscard]] std::unique_ptr<Answer> stop(const Peer& peer);
  [[nodiscard]] std::unique_ptr<Answer> end(const Requests::Json& request, const Peer& peer);

  const Parts parts_;
  const std::shared_ptr<State> state_;
};

// "handed over to the process 4711: nobody forwarded for 1234 us"
[[nodiscard]] std::string handed_over_line(pid_t to, std::uint64_t outage_us);

}  // namespace synproxy::control
