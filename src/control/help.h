// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "control/commands.h"

namespace synproxy::control {

[[nodiscard]] std::string version_text();    // "synproxy 0.1.0"
[[nodiscard]] std::string version_number();  // "0.1.0"
[[nodiscard]] std::string help_text();       // what --help prints, at most 100 columns
[[nodiscard]] std::string help_text(const Command& command);  // of `synproxy COMMAND --help`

}  // namespace synproxy::control
