// SPDX-License-Identifier: BSD-3-Clause
// The command line: which command, and its configuration, checked as far as text can be checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "control/settings.h"

namespace synproxy::control {

struct Invocation {
  enum class Action : std::uint8_t { kRun, kStat, kHelp, kVersion };
  Action action = Action::kRun;
  Config config;      // kRun: whole; kStat: its name alone
  bool json = false;  // kStat
};

// `arguments` without the program's name. Reads the file of --config and nothing else: devices,
// CPUs, permissions and the secret are for check_host. Throws UsageError.
[[nodiscard]] Invocation parse_command_line(const std::vector<std::string>& arguments);

// The values of `settings`, over the defaults. Throws UsageError.
[[nodiscard]] Config build_config(const std::vector<Setting>& settings);

}  // namespace synproxy::control
