// SPDX-License-Identifier: BSD-3-Clause
// The limits for the figures: bench/budgets.json, the one list that the benches, the report and the
// README share. It is compiled in.
#pragma once

#include <optional>
#include <string>

namespace synproxy::bench {

// The budget of the row of this name, if it has one.
[[nodiscard]] std::optional<double> budget_of(const std::string& row);

}  // namespace synproxy::bench
