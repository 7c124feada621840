// SPDX-License-Identifier: BSD-3-Clause
// The findings of a bench, as lines for a reader and as the JSON that scripts/bench.sh gathers.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace synproxy::bench {

struct Result {
  std::string name;  // "datapath/syn/ipv4/timestamps"
  double value = 0;
  std::string unit;
  bool lower_is_better = true;
  std::optional<double> budget = std::nullopt;
  std::string note = {};
  // More about the value. "least" and "most" of the repetitions tell when a later run is slower.
  std::map<std::string, double> more = {};
};

// CPU, kernel, compiler, pages: without these a figure means nothing.
[[nodiscard]] nlohmann::ordered_json machine();
[[nodiscard]] std::string machine_line();

// One line: the value, its budget, and the notes.
[[nodiscard]] std::string line_of(const Result& result);

// Throws std::runtime_error with a sentence if the file cannot be written.
void write_results(const std::string& path, const std::string& bench, const std::string& command,
                   const std::vector<Result>& results);

}  // namespace synproxy::bench
