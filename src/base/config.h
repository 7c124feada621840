// SPDX-License-Identifier: BSD-3-Clause
// The whole configuration, validated before anything is started and immutable afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "synproxy/base/config.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

// A device as the user named it: `eth1`, `xdp:eth1`, `0000:3b:00.0`, `net_memif0,role=server,...`.
struct PortName {
  enum class Kind : std::uint8_t { kRawSocket, kXdp, kPci, kVdev };
  Kind kind = Kind::kRawSocket;
  std::string text;    // as typed
  std::string device;  // without the `xdp:` prefix
};

enum class LogLevel : std::uint8_t { kError, kWarning, kInfo, kDebug };

struct Config {
  PortName client_port;
  PortName server_port;
  std::vector<ProtectRule> protect;
  EngineConfig engine;    // max_flows and early_data_memory are totals; each worker gets its share
  bool shed_syns = true;  // when more arrives than can be answered
  std::uint32_t idle_sleep_us = 50;  // of a worker while nothing arrives, at most; 0: none
  std::vector<unsigned> workers;     // CPUs, one worker thread each; empty: the first allowed CPU
  std::string name = "synproxy";  // DPDK file prefix and name of the telemetry socket's directory
  std::string secret_file;        // empty: a random secret at start
  unsigned stats_interval = 0;    // seconds; 0: no line
  LogLevel log_level = LogLevel::kWarning;
  std::vector<std::string> eal_arguments;  // after `--`
};

}  // namespace synproxy
