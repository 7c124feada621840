// SPDX-License-Identifier: BSD-3-Clause
// The successor's part of --take-over (hand_over_wire.h).
//
//   TakeOver(...)   before anything is touched: refuses what cannot work, and brings what is needed
//                   to build the dataplane
//   run()           when this process could start: what the predecessor's workers know comes over
//                   while they work; they stop, its ports become ours, and what has changed comes
//                   over; our workers start, the predecessor leaves, its name becomes ours
//
// With a NIC the predecessor stops when the dataplane asks for it (dataplane::Predecessor), and all
// connections come over after that.
//
// Whatever throws before the predecessor has left leaves it alone: it goes on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/descriptor.h"
#include "base/flow_store.h"
#include "base/port_id.h"
#include "control/control_client.h"
#include "control/host_state.h"
#include "control/name_swap.h"
#include "dataplane/carrying.h"
#include "dataplane/dataplane.h"
#include "synproxy/cookie/master_secret.h"

namespace synproxy::control {

class TakeOver {
 public:
  // A process without threads; the host is checked. Throws UsageError or RuntimeFailure.
  TakeOver(const Config& config, const MasterSecret& secret);
  ~TakeOver();
  TakeOver(const TakeOver&) = delete;
  TakeOver& operator=(const TakeOver&) = delete;

  [[nodiscard]] const dataplane::Predecessor& predecessor() const { return giver_; }
  // Of --server-port host: what it has moved. Call it once. Throws RuntimeFailure.
  [[nodiscard]] HostStateFile::Left take_host();
  [[nodiscard]] pid_t pid() const { return pid_; }
  // The keys that its cookies were made with; wiped when the caller has used them.
  [[nodiscard]] std::vector<EpochKeys> take_keys();

  // The files beside the name are ours: the dataplane is built.
  void stores() { swap_.stores(); }
  void begun() { swap_.begun(); }
  // Starts the workers of `dataplane`. `ports_open` is called once all ports are, before a worker
  // runs. Throws UsageError or RuntimeFailure.
  void run(dataplane::Dataplane& dataplane, const std::function<void()>& ports_open);

  [[nodiscard]] const Found& found() const { return found_; }
  // "taken over from the process 4711: nobody forwarded for 1234 us"
  [[nodiscard]] std::string text() const;

 private:
  void take_files(const nlohmann::ordered_json& counts);
  void stop();
  void copy_while_it_works(dataplane::Dataplane& dataplane, dataplane::Taker& taker);
  void wait_for_traffic(const dataplane::Dataplane& dataplane);
  // Reads an answer to the end. Returns how many flows it had.
  std::size_t take(dataplane::Taker& taker, std::uint64_t now_ms);

  const Config& config_;
  NameSwap swap_;
  std::optional<ControlClient> predecessor_;
  dataplane::Predecessor giver_;
  std::vector<EpochKeys> keys_;
  pid_t pid_ = 0;
  std::optional<std::uint64_t> stopped_us_;  // since it has stopped
  PerPort<bool> links_{};                    // that it had then
  std::vector<Descriptor> host_files_;
  PerPort<std::vector<Descriptor>> port_files_;
  std::string without_link_;
  std::uint64_t outage_us_ = 0;
  Found found_;
};

}  // namespace synproxy::control
