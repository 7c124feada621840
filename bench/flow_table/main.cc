// SPDX-License-Identifier: BSD-3-Clause
// The flow table against DPDK's rte_hash on the same work (contender.h), both in the same kind of
// pages. Contenders take turns: each round fills, asks and churns them anew, one after the other.
#include <rte_eal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <iomanip>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/budgets.h"
#include "common/huge_pages.h"
#include "common/results.h"
#include "flow_table/contender.h"
#include "flow_table/external_heap.h"
#include "flow_table/trial.h"

namespace synproxy::bench {
namespace {

constexpr const char* kUsage =
    "usage: flow_table [--json FILE] [--quick]\n\n"
    "The flow table and rte_hash (under CRC32, and under our keyed hash), cycles per key.\n"
    "--quick: no table of ten million.\n";

struct Size {
  const char* name;
  std::uint32_t flows;
  bool huge_pages;
  unsigned rounds;
};
constexpr std::array kSizes{Size{"1k", 1024, true, 5}, Size{"1m", 1'000'000, true, 5},
                            Size{"10m", 10'000'000, true, 3},
                            Size{"10m_4k_pages", 10'000'000, false, 3}};

constexpr int kAttempts = 5;  // at a trial that other programs interrupt

// The first is ours, the second the one that it is compared with.
constexpr std::array kContenders{"own", "rte_hash", "rte_keyed"};

struct Measure {
  const char* name;
  double Trial::*value;
  const char* unit;
};
constexpr std::array kMeasures{Measure{"hit", &Trial::hit, "cycles/key"},
                               Measure{"miss", &Trial::miss, "cycles/key"},
                               Measure{"insert", &Trial::insert, "cycles/key"},
                               Measure{"erase", &Trial::erase, "cycles/key"},
                               Measure{"insert_burst_99.9%", &Trial::insert_999, "cycles/burst"},
                               Measure{"insert_burst_worst", &Trial::insert_worst, "cycles/burst"},
                               Measure{"erase_burst_99.9%", &Trial::erase_999, "cycles/burst"},
                               Measure{"erase_burst_worst", &Trial::erase_worst, "cycles/burst"},
                               Measure{"memory", &Trial::bytes_per_flow, "bytes/flow"}};

void start_eal() {
  std::array<std::string, 8> words{"flow_table",
                                   "--no-huge",
                                   "-m",
                                   "64",
                                   "--no-pci",
                                   "--no-telemetry",
                                   "--log-level=*:error",
                                   "--file-prefix=flow-table-bench-" + std::to_string(::getpid())};
  std::array<char*, 8> pointers{};
  for (std::size_t i = 0; i < words.size(); ++i) pointers[i] = words[i].data();
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) {
    throw std::runtime_error("DPDK's environment does not start");
  }
}

Trial one(std::size_t contender, const Size& size, int socket) {
  for (int attempt = 1;; ++attempt) {
    const auto made = contender == 0 ? make_flow_table(size.flows)
                                     : make_rte_hash(size.flows, contender == 2, socket);
    try {
      return try_out(*made, size.flows);
    } catch (const Interrupted&) {
      if (attempt == kAttempts) throw;
    }
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::map<std::string, double> range_of(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {{"least", *least}, {"most", *most}};
}

// The median of each contender's rounds, as a row and as results.
void report(const Size& size, const std::vector<std::vector<Trial>>& trials,
            std::vector<Result>& results) {
  for (const Measure& m : kMeasures) {
    std::vector<double> medians;
    std::vector<std::map<std::string, double>> ranges;
    for (const auto& rounds : trials) {
      std::vector<double> values;
      for (const Trial& t : rounds) values.push_back(t.*m.value);
      medians.push_back(median(values));
      ranges.push_back(range_of(values));
    }
    if (medians[0] == 0) continue;  // the table was too small for this measure
    const std::string name = std::string("flow_table/") + m.name + "/" + size.name;
    for (std::size_t c = 0; c < medians.size(); ++c) {
      results.push_back({.name = name + "/" + kContenders[c],
                         .value = medians[c],
                         .unit = m.unit,
                         .more = ranges[c]});
      results.back().budget = budget_of(results.back().name);
    }
    std::vector<double> ratios;
    for (std::size_t i = 0; i < trials[0].size(); ++i) {
      ratios.push_back(trials[1][i].*m.value / trials[0][i].*m.value);
    }
    results.push_back({.name = name + "/ratio",
                       .value = medians[1] / medians[0],
                       .unit = "times",
                       .lower_is_better = false,
                       .note = "what rte_hash takes, by what ours takes",
                       .more = range_of(ratios)});
    std::cout << std::left << std::setw(42) << name << std::right << std::fixed
              << std::setprecision(1);
    for (const double v : medians) std::cout << std::setw(12) << v;
    std::cout << std::setw(8) << std::setprecision(2) << medians[1] / medians[0] << "  " << m.unit
              << std::endl;
  }
}

int run(bool quick, const std::string& json, const std::string& command) {
  start_eal();
  std::cout << machine_line() << "\n\n" << std::left << std::setw(42) << "" << std::right;
  for (const char* name : kContenders) std::cout << std::setw(12) << name;
  std::cout << std::setw(8) << "ratio" << '\n';
  std::vector<Result> results;
  std::map<bool, std::unique_ptr<ExternalHeap>> heaps;
  for (const Size& size : kSizes) {
    if (quick && size.flows > 1'000'000) continue;
    const NoHugePages pages(!size.huge_pages);
    auto& heap = heaps[size.huge_pages];
    if (!heap) {
      heap =
          std::make_unique<ExternalHeap>(size.huge_pages ? "huge" : "small", std::size_t{1} << 30);
    }
    std::vector<std::vector<Trial>> trials(kContenders.size());
    for (unsigned round = 0; round < size.rounds; ++round) {
      std::cerr << "flow_table: " << size.flows << " flows, round " << round + 1 << " of "
                << size.rounds << '\n';
      for (std::size_t c = 0; c < kContenders.size(); ++c) {
        trials[c].push_back(one(c, size, heap->socket()));
      }
    }
    report(size, trials, results);
  }
  if (!json.empty()) write_results(json, "flow_table", command, results);
  return 0;
}

}  // namespace
}  // namespace synproxy::bench

int main(int argc, char** argv) {
  std::string command = argv[0];
  std::string json;
  bool quick = false;
  try {
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      command += " " + word;
      if (word == "--help" || word == "-h") {
        std::cout << synproxy::bench::kUsage;
        return 0;
      }
      if (word == "--quick") {
        quick = true;
      } else if (word == "--json" && i + 1 < argc) {
        json = argv[++i];
        command += " " + json;
      } else {
        throw std::invalid_argument(word == "--json" ? "--json: needs the name of a file"
                                                     : word + ": no such option; see --help");
      }
    }
    return synproxy::bench::run(quick, json, command);
  } catch (const std::invalid_argument& e) {
    std::cerr << "flow_table: " << e.what() << '\n';
    return 2;
  } catch (const std::exception& e) {
    std::cerr << "flow_table: " << e.what() << '\n';
    return 1;
  }
}
