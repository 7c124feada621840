// SPDX-License-Identifier: BSD-3-Clause
// What the program says. Each call prints exactly one line, "synproxy: ...", whatever its text
// holds.
#pragma once

#include <string>
#include <string_view>

namespace synproxy::control {

// Writes control characters as \xNN. A file name or an argument may hold some.
[[nodiscard]] std::string one_line(std::string_view text);

void say(std::string_view text);       // standard output: ready, rates, summary
void complain(std::string_view text);  // standard error: errors, warnings

}  // namespace synproxy::control
