// SPDX-License-Identifier: BSD-3-Clause
// `synproxy check`: what decides success, before a start and while it runs. It changes nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "control/host.h"
#include "control/machine.h"
#include "control/stat.h"

namespace synproxy::control {

struct Finding {
  enum class State : std::uint8_t {
    kRight,
    kPoor,   // it works, and would work better
    kWrong,  // the start or the traffic fails
  };
  std::string what;  // "hugepages", "mtu"
  std::string port;  // as typed; empty: of the machine or the proxy as a whole
  State state = State::kRight;
  std::string found;  // what there is
  std::string mend;   // the command, or what to do; empty where it is right
};
using Findings = std::vector<Finding>;

// What a start refuses with that sentence, which ends with what to do.
void add_refusal(const std::string& what, const std::string& sentence, Findings& out);

// Each look appends lines.
void check_start(const Config& config, const Host& host, Findings& out);
void check_ports(const Config& config, const Host& host, const Machine& machine, Findings& out);
void check_cpus(const Config& config, const Host& host, const Machine& machine, Findings& out);
void check_memory(const Config& config, const Host& host, const Machine& machine, Findings& out);
[[nodiscard]] Findings check_before(const Config& config, const Host& host, const Machine& machine);

// From two documents of the running proxy (stat_document()), taken some time apart.
[[nodiscard]] Findings check_live(const nlohmann::ordered_json& before,
                                  const nlohmann::ordered_json& after);

[[nodiscard]] bool any_wrong(const Findings& findings);
// "wrong  mtu eth2: 1500, that of eth1 is 9000; ip link set eth2 mtu 9000", a line each.
[[nodiscard]] std::string check_text(const Findings& findings);
// {"ok", "checks": [{"check", "port", "state", "found", "mend"}]}
[[nodiscard]] nlohmann::ordered_json check_document(const Findings& findings);

}  // namespace synproxy::control
