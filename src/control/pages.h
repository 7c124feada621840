// SPDX-License-Identifier: BSD-3-Clause
// What is installed beside the program, made from the rows of flags() and commands(): the man pages
// synproxy(8) and synproxy.conf(5), and the completion for bash.
#pragma once

#include <string>

namespace synproxy::control {

[[nodiscard]] std::string program_man();
[[nodiscard]] std::string config_man();
[[nodiscard]] std::string bash_completion();

}  // namespace synproxy::control
