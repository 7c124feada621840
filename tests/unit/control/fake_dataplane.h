// SPDX-License-Identifier: BSD-3-Clause
// Stands in for src/dataplane in tests of what control does with a running dataplane.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/capture_tap.h"
#include "dataplane/dataplane.h"
#include "dataplane/flow_mail.h"

namespace synproxy::dataplane {

// What the workers' clock says.
inline std::uint64_t fake_tsc = 1;

struct FakeState {
  std::array<Counters, 2> counters;
  std::array<IoCounters, 2> io;
  std::vector<std::string> lines;  // what supervise() returns next
  unsigned supervised = 0;
  unsigned starts = 0;
  unsigned stops = 0;
  std::string ports = "open";
  std::string no_port;  // why they do not open; empty: they do
  PerPort<std::vector<int>> files;
  std::vector<WorkerTuning> retuned;
  std::array<FlowMail, 2> mail;
  static std::uint64_t tsc() { return fake_tsc; }
  std::array<CaptureTap, 2> taps{CaptureTap(counters[0], io[0].capture_lost, &tsc),
                                 CaptureTap(counters[1], io[1].capture_lost, &tsc)};
  std::unique_ptr<const SourceLists> lists = std::make_unique<SourceLists>();
  std::vector<RefusedSource> refused;
  std::vector<ActiveService> active;
};

// The state of the Dataplane that was made last.
FakeState& fake_state();

}  // namespace synproxy::dataplane
