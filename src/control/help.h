// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

namespace synproxy::control {

[[nodiscard]] std::string version_text();    // "synproxy 0.1.0"
[[nodiscard]] std::string version_number();  // "0.1.0"
[[nodiscard]] std::string help_text();       // what --help prints, at most 100 columns

}  // namespace synproxy::control
