// SPDX-License-Identifier: BSD-3-Clause
#include "common/budgets.h"

#include <nlohmann/json.hpp>

#include "budgets_json.h"

namespace synproxy::bench {

std::optional<double> budget_of(const std::string& row) {
  static const nlohmann::json budgets = nlohmann::json::parse(kBudgetsJson);
  for (const auto& budget : budgets) {
    for (const auto& name : budget["rows"]) {
      if (name.get<std::string>() == row) return budget["limit"].get<double>();
    }
  }
  return std::nullopt;
}

}  // namespace synproxy::bench
