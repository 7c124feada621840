// SPDX-License-Identifier: BSD-3-Clause
// The running proxy's answers to `synproxy stat`, as commands of DPDK's telemetry:
//   /synproxy/info          name, version, uptime, CPUs of the workers, packet buffers
//   /synproxy/port,SIDE     client or server: name, link, what the device dropped
//   /synproxy/counters,N    every Reason of worker N
//   /synproxy/gauges,N      its gauges
//   /synproxy/io,N          its IoCounters
//   /synproxy/services      names of the services that have one
//   /synproxy/service,NAME  what was counted of it, and its gauges, all workers together
//   /synproxy/limited       the sources that are over a limit, most refused first
// They run on a thread of DPDK and only read.
#pragma once

#include "base/config.h"
#include "control/clock.h"
#include "control/felt.h"
#include "dataplane/dataplane.h"

namespace synproxy::control {

// At most one exists in a process. The dataplane has started EAL and outlives it.
class Telemetry {
 public:
  // Throws RuntimeFailure.
  // All outlive it.
  Telemetry(const dataplane::Dataplane& dataplane, const Config& config, const ProgramClock& clock,
            const FeltLately& felt);
  ~Telemetry();  // from here on the commands answer nothing
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;
};

}  // namespace synproxy::control
