// SPDX-License-Identifier: BSD-3-Clause
// What readers of a running proxy may see, in one struct: no reader needs the dataplane itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/port_id.h"
#include "control/felt.h"
#include "dataplane/dataplane.h"
#include "synproxy/base/counters.h"

namespace synproxy::control {

struct WorkerView {
  unsigned cpu = 0;
  const Counters* counters = nullptr;
  const dataplane::IoCounters* io = nullptr;
};

struct View {
  std::string name;     // of --name
  std::string version;  // of the program
  std::string dpdk;     // version of the library
  std::uint64_t started_unix_ms = 0;
  std::uint64_t max_flows = 0;
  std::vector<std::string> services;  // names, in the order of their counters
  std::vector<WorkerView> workers;
  PerPort<dataplane::PortStatus> ports;
  std::vector<RefusedSource> refused;   // by limits, most refused first
  std::uint64_t cycles_per_second = 0;  // of the time-stamp counter
  std::uint64_t mbufs_in_use = 0;
  std::uint64_t mbufs_total = 0;
  std::uint64_t log_lines_lost = 0;
  std::vector<ServiceFelt> felt_lately;  // as FeltLately; filled in by who wants to show it

  [[nodiscard]] FeltSource felt_source() const {
    FeltSource source{.workers = {}, .names = services};
    for (const WorkerView& w : workers) source.workers.push_back(w.counters);
    return source;
  }
};

// Counters stay where their workers write them, and go on; the rest is as it was at the call. The
// dataplane outlives the view.
[[nodiscard]] View view_of(const dataplane::Dataplane& dataplane, const Config& config,
                           std::uint64_t started_unix_ms);

}  // namespace synproxy::control
