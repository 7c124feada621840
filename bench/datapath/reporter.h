// SPDX-License-Identifier: BSD-3-Clause
// Prints Google Benchmark's repetitions as two lines per case: the median of their means, and the
// median of what they cost by their floors, with its budget.
#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

#include "common/results.h"
#include "datapath/cases.h"

namespace synproxy::bench {

inline constexpr const char* kMean = "mean";
inline constexpr const char* kWithoutTimers = "without_timers";
inline constexpr const char* kMedianBurst = "median_burst";
inline constexpr const char* kFloor = "floor";  // floor.h

class Reporter final : public benchmark::BenchmarkReporter {
 public:
  explicit Reporter(const std::vector<Case>& cases);
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override;

  [[nodiscard]] const std::vector<Result>& results() const { return results_; }
  [[nodiscard]] bool failed() const { return failed_; }
  void add(const Result& result);

 private:
  struct Listed {
    const Case* of;
    std::size_t place;
  };
  std::map<std::string, Listed> cases_;
  std::map<std::size_t, std::vector<Result>> done_;  // by place, because they come interleaved
  std::vector<Result> results_;
  bool failed_ = false;
};

}  // namespace synproxy::bench
