// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/reporter.h"

#include <algorithm>
#include <iostream>
#include <optional>

#include "common/budgets.h"

namespace synproxy::bench {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Google Benchmark appends to the name the settings for iterations and clocks.
std::string case_name(const benchmark::BenchmarkReporter::Run& run) {
  return run.run_name.function_name;
}

// Why the run has no figures, where it has none. Google Benchmark renamed both fields in 1.8.
template <typename Run>
std::optional<std::string> trouble_of(const Run& run) {
  if constexpr (requires { run.error_occurred; }) {
    if (run.error_occurred) return run.error_message;
  } else {
    if (run.skipped != decltype(run.skipped){}) return run.skip_message;
  }
  return std::nullopt;
}

// By the floor of the same repetition: both have met the same machine.
Result of_floor(const Result& row, std::map<std::string, std::vector<double>>& values) {
  std::vector<double> ratios = values[kMean];
  for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] /= values[kFloor][i];
  Result r{.name = row.name + "/of_floor", .value = median(ratios), .unit = "ratio"};
  r.budget = budget_of(r.name);
  r.more["least"] = *std::min_element(ratios.begin(), ratios.end());
  r.more["most"] = *std::max_element(ratios.begin(), ratios.end());
  return r;
}

}  // namespace

Reporter::Reporter(const std::vector<Case>& cases) {
  for (const Case& c : cases) cases_[c.name] = {&c, cases_.size()};
}

bool Reporter::ReportContext(const Context&) {
  std::cout << machine_line() << '\n'
            << "Mean over all packets, timers included; median of the repetitions.\n\n";
  return true;
}

void Reporter::ReportRuns(const std::vector<Run>& runs) {
  std::map<std::string, std::vector<double>> values;
  std::string trouble;
  if (runs.front().run_type == Run::RT_Aggregate) return;
  for (const Run& run : runs) {
    if (run.run_type == Run::RT_Aggregate) continue;
    if (const auto why = trouble_of(run)) {
      trouble = *why;
      continue;
    }
    for (const auto& [name, counter] : run.counters) values[name].push_back(counter.value);
  }
  const std::string name = case_name(runs.front());
  const std::vector<double>& means = values[kMean];
  if (means.empty()) {
    std::cerr << "datapath/" << name << ": " << trouble << std::endl;
    failed_ = true;
    return;
  }
  const auto& [of, place] = cases_.at(name);
  const Case& c = *of;
  Result r{.name = "datapath/" + name, .value = median(means), .unit = c.unit};
  r.budget = budget_of(r.name);
  r.more[kWithoutTimers] = median(values[kWithoutTimers]);
  r.more[kMedianBurst] = median(values[kMedianBurst]);
  r.more[kFloor] = median(values[kFloor]);
  r.more["least"] = *std::min_element(means.begin(), means.end());
  r.more["most"] = *std::max_element(means.begin(), means.end());
  if (!trouble.empty()) r.note = "a repetition is missing: " + trouble;
  done_[place] = {r, of_floor(r, values)};
  std::cerr << name << " is done, the " << done_.size() << ". case" << std::endl;
}

void Reporter::Finalize() {
  for (const auto& [place, results] : done_) {
    for (const Result& r : results) add(r);
  }
}

void Reporter::add(const Result& result) {
  std::cout << line_of(result) << std::endl;
  results_.push_back(result);
}

}  // namespace synproxy::bench
