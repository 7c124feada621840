// SPDX-License-Identifier: BSD-3-Clause
// The successor's part of --take-over (hand_over_wire.h).
//
//   TakeOver(...)   before anything is touched: refuses what cannot work, and brings what is needed
//                   to build the dataplane
//   run()           when this process could start: what the predecessor's workers know comes over
//                   while they work; they stop, and what has changed comes over; our workers start,
//                   the predecessor leaves, its name becomes ours
//
// Whatever throws before the predecessor has left leaves it alone: it goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/config.h"
#include "base/flow_store.h"
#include "control/control_client.h"
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

  [[nodiscard]] const StoreIdentity& predecessor() const { return identity_; }
  // The keys that its cookies were made with; wiped when the caller has used them.
  [[nodiscard]] std::vector<EpochKeys> take_keys();

  // The files beside the name are ours: the dataplane is built.
  void begun() { swap_.begun(); }
  // Starts the workers of `dataplane`. Throws UsageError or RuntimeFailure.
  void run(dataplane::Dataplane& dataplane);

  [[nodiscard]] const Found& found() const { return found_; }
  // "taken over from the process 4711: nobody forwarded for 1234 us"
  [[nodiscard]] std::string text() const;

 private:
  // Reads an answer to the end. Returns how many flows it had.
  std::size_t take(dataplane::Taker& taker, std::uint64_t now_ms);

  const Config& config_;
  NameSwap swap_;
  std::optional<ControlClient> predecessor_;
  StoreIdentity identity_;
  std::vector<EpochKeys> keys_;
  int pid_ = 0;
  std::uint64_t outage_us_ = 0;
  Found found_;
};

}  // namespace synproxy::control
