// SPDX-License-Identifier: BSD-3-Clause
// The whole configuration. It is validated before anything is started. The row of a flag says
// whether it may change while the proxy runs (control/flags.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "synproxy/base/config.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/service_tuning.h"

namespace synproxy {

struct SourceLists;

// A device as the user named it: `eth1`, `xdp:eth1`, `0000:3b:00.0`, `net_memif0,role=server,...`,
// or `host`, this host itself.
struct PortName {
  enum class Kind : std::uint8_t { kRawSocket, kXdp, kPci, kVdev, kHost };
  Kind kind = Kind::kRawSocket;
  std::string text;    // as typed
  std::string device;  // without the `xdp:` prefix; of kHost, once it is made, our side of it

  // Whether it names a Linux interface.
  [[nodiscard]] bool is_interface() const { return kind == Kind::kRawSocket || kind == Kind::kXdp; }
  friend bool operator==(const PortName&, const PortName&) = default;
};

// Where the program listens for readers of its metrics.
struct ListenAddress {
  std::string text;     // as typed; empty: nowhere
  std::string address;  // numeric, without brackets
  std::uint16_t port = 0;
  bool ipv6 = false;

  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

// Whether the kernel carries connections between Linux interfaces. kOn: the start fails where it
// cannot.
enum class FlowOffloading : std::uint8_t { kOff, kOn, kAuto };

enum class LogLevel : std::uint8_t { kError, kWarning, kInfo, kDebug };

// What a worker's loop does, beside its engine.
struct LoopTuning {
  bool shed_syns = true;             // shed some when more arrive than can be answered
  std::uint32_t idle_sleep_us = 50;  // longest sleep while nothing arrives; 0: none

  friend bool operator==(const LoopTuning&, const LoopTuning&) = default;
};

// The settings that are published to the workers while they run.
struct WorkerTuning {
  EngineTuning engine;
  LoopTuning loop;
  const SourceLists* lists = nullptr;  // the dataplane owns them
  ServiceTunings services = {};

  friend bool operator==(const WorkerTuning&, const WorkerTuning&) = default;
};

// Files of sources, and whether bogons are denied.
struct ListFiles {
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  bool bogons = false;

  [[nodiscard]] bool any() const { return !allow.empty() || !deny.empty(); }
  friend bool operator==(const ListFiles&, const ListFiles&) = default;
};

// A [service NAME] of the file of --config.
struct NamedService {
  std::string name;
  EngineTuning tuning{};  // what is not its own is as in Config::engine
  ListFiles lists{};      // what is not its own is as in Config::lists

  friend bool operator==(const NamedService&, const NamedService&) = default;
};

struct Config {
  PortName client_port;
  PortName server_port;
  std::vector<ProtectRule> protect;    // those of services with names too
  std::vector<NamedService> services;  // ProtectRule::service is a place here, from 1 on
  std::vector<VlanPair> vlan_pairs;
  EngineConfig engine;  // max_flows and early_data_memory are totals; each worker gets its share
  LoopTuning loop;
  FlowOffloading flow_offload = FlowOffloading::kAuto;
  std::vector<unsigned> workers;  // CPUs, one worker thread each; empty: the first allowed CPU
  std::string name = "synproxy";  // DPDK file prefix and name of the telemetry socket's directory
  ListFiles lists;
  // Invalid cookies of a service a second above which plain ones get tight; 0: they never do.
  std::uint32_t tight_cookies = 100'000;
  std::string control_group;    // may ask at the control socket; empty: none
  std::string secret_file;      // empty: a random secret at start
  std::string state_dir;        // empty: connections end with the process
  bool fresh = false;           // what is in state_dir counts for nothing
  bool take_over = false;       // from the proxy of this name that runs
  std::string config_file;      // empty: none
  std::string user;             // empty: stays who started it
  bool seccomp = true;          // filter system calls once the ports are open
  unsigned confirm = 0;         // seconds for `synproxy host confirm`; 0: none is asked for
  unsigned stats_interval = 0;  // seconds; 0: no line
  ListenAddress metrics;
  LogLevel log_level = LogLevel::kWarning;
  std::vector<std::string> eal_arguments;  // after `--`

  // Of this process's files. The name itself is another process's until that one has handed over.
  [[nodiscard]] std::string files_name() const { return take_over ? name + ".next" : name; }
  [[nodiscard]] WorkerTuning tuning() const {
    WorkerTuning all{engine.tuning, loop, nullptr, {}};
    for (const NamedService& service : services) {
      all.services.of.at(all.services.count++) = service_tuning(service.tuning);
    }
    return all;
  }
  friend bool operator==(const Config&, const Config&) = default;
};

// Of one worker.
[[nodiscard]] inline EngineShape share_of(EngineShape totals, std::uint32_t workers) {
  totals.workers = workers;
  totals.max_flows = std::max(1U, totals.max_flows / workers);
  totals.early_data_memory /= workers;
  return totals;
}

}  // namespace synproxy
