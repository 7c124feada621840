// SPDX-License-Identifier: BSD-3-Clause
// Runs another program, without a shell, to its end.
#pragma once

#include <string>
#include <vector>

namespace synproxy::control {

struct Ran {
  int status = -1;   // exit status; -1: it did not run, or a signal ended it
  std::string text;  // what it printed, both streams
};

[[nodiscard]] Ran run_program(const std::vector<std::string>& words);

}  // namespace synproxy::control
