// SPDX-License-Identifier: BSD-3-Clause
// The command line: the command and its configuration, checked as far as text alone can be checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "control/commands.h"
#include "control/settings.h"

namespace synproxy::control {

struct Invocation {
  enum class Action : std::uint8_t { kRun, kCommand, kHelp, kVersion };
  Action action = Action::kRun;
  Config config;                     // kRun
  std::vector<Setting> settings;     // kRun: of the command line and of the file, in force
  const Command* command = nullptr;  // kCommand; kHelp: whose help, nullptr: the program's
  CommandLine line;                  // kCommand
};

// `arguments`: without the program's name. Reads the file of --config and nothing else.
// check_host() looks at devices, CPUs and permissions, load_secret() at the secret. Throws
// UsageError.
[[nodiscard]] Invocation parse_command_line(const std::vector<std::string>& arguments);

// What flags of a start and the file of their --config say, of which none has to be there: for
// commands that need some of them. Throws UsageError.
[[nodiscard]] Config loose_config(const std::vector<std::string>& arguments);

// Gives the setting's flag its value. Throws UsageError.
void apply_setting(Config& config, const Setting& setting);

// Applies `settings` to the defaults. Throws UsageError.
[[nodiscard]] Config build_config(const std::vector<Setting>& settings);

}  // namespace synproxy::control
