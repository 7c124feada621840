// SPDX-License-Identifier: BSD-3-Clause
// docs/flags.md and docs/counters.md, made from the lists that the program itself uses.
#pragma once

#include <string>

namespace synproxy::control {

[[nodiscard]] std::string flags_markdown();
[[nodiscard]] std::string counters_markdown();

}  // namespace synproxy::control
