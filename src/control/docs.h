// SPDX-License-Identifier: BSD-3-Clause
// docs/flags.md, docs/counters.md and docs/metrics.md, made from the lists that the program itself
// uses.
#pragma once

#include <string>

namespace synproxy::control {

[[nodiscard]] std::string flags_markdown();
[[nodiscard]] std::string counters_markdown();
[[nodiscard]] std::string metrics_markdown();

}  // namespace synproxy::control
