// SPDX-License-Identifier: BSD-3-Clause
// bench/datapath: the whole path in memory, without a driver. bed.h, meter.h and
// docs/performance.md say what is measured, and how.
#include <benchmark/benchmark.h>

#include <charconv>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/tsc.h"
#include "datapath/cases.h"
#include "datapath/floor.h"
#include "datapath/memory.h"
#include "datapath/meter.h"
#include "datapath/reporter.h"

namespace synproxy::bench {
namespace {

constexpr const char* kUsage =
    "usage: datapath [--json FILE] [--quick] [--buffers N] [--benchmark_...]\n\n"
    "Cycles of the time-stamp counter per packet, for every kind of traffic.\n\n"
    "  --json FILE                the figures, for scripts/bench.sh\n"
    "  --quick                    fewer repetitions, and no table of ten million\n"
    "  --buffers N                frames in memory at once, 8192\n"
    "  --benchmark_filter=REGEX   some cases only; the rest of Google Benchmark's options too\n";

constexpr int kPasses = 64;  // of a repetition

struct Arguments {
  std::string json;
  std::size_t buffers = Bed::buffers();
  bool quick = false;
  bool help = false;
  std::vector<std::string> rest;
};

std::size_t number_of(const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 64 || value > 1U << 20) {
    throw std::invalid_argument("--buffers " + text + ": needs a number from 64 to 1048576");
  }
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--json") {
      if (++i == argc) throw std::invalid_argument("--json: needs the name of a file");
      a.json = argv[i];
    } else if (word == "--buffers") {
      if (++i == argc) throw std::invalid_argument("--buffers: needs a number");
      a.buffers = number_of(argv[i]);
    } else if (word == "--quick") {
      a.quick = true;
    } else if (word == "--help" || word == "-h") {
      a.help = true;
    } else if (word.rfind("--benchmark_", 0) == 0) {
      a.rest.push_back(word);
    } else {
      throw std::invalid_argument(word + ": no such option; see --help");
    }
  }
  return a;
}

std::vector<Case> all_cases(bool quick) {
  std::vector<Case> cases;
  add_syn_cases(cases);
  add_ack_cases(cases);
  add_full_table_cases(cases);
  add_spliced_cases(cases);
  add_connection_cases(cases);
  add_fragment_cases(cases);
  add_mix_cases(cases);
  add_hostile_cases(cases);
  add_vector_cases(cases);
  if (quick) std::erase_if(cases, [](const Case& c) { return c.slow; });
  return cases;
}

void measure(benchmark::State& state, const Case& c) {
  static std::map<std::string, std::unique_ptr<Traffic>> going_on;
  Meter meter, least;
  Bed& bed = bed_for(c.bed);  // ends the run if the bed cannot be made
  try {
    Floor& floor = floor_for(c.bed);
    std::unique_ptr<Traffic>& traffic = going_on[c.name];
    if (!traffic) traffic = c.traffic(bed);
    for ([[maybe_unused]] auto _ : state) {
      bed.clear();
      traffic->prepare(bed);
      Cost cost = bed.run();
      traffic->check(bed);
      state.SetIterationTime(static_cast<double>(cost.cycles) / tsc_hz());
      meter.add(std::move(cost));
      least.add(floor.run(bed, c.touches));
    }
  } catch (const std::exception& e) {
    state.SkipWithError(e.what());
    return;
  }
  if (!meter.usable() || !least.usable()) {
    state.SkipWithError("too many passes were interrupted: other programs need this core");
    return;
  }
  state.counters[kMean] = meter.mean() * c.packets_per_operation;
  state.counters[kWithoutTimers] = meter.without_timers() * c.packets_per_operation;
  state.counters[kFloor] = least.mean() * c.packets_per_operation;
  state.counters[kMedianBurst] = meter.median_burst() * c.packets_per_operation;
}

int run_bench(const Arguments& arguments, const std::string& command) {
  Bed::set_buffers(arguments.buffers);
  const std::vector<Case> cases = all_cases(arguments.quick);
  for (const Case& c : cases) {
    benchmark::RegisterBenchmark(c.name.c_str(), [&c](benchmark::State& s) { measure(s, c); })
        ->Iterations(kPasses)
        ->UseManualTime();
  }
  // Ours come first, so that the user's win.
  std::vector<std::string> words{
      "datapath", "--benchmark_enable_random_interleaving=true",
      arguments.quick ? "--benchmark_repetitions=3" : "--benchmark_repetitions=7"};
  words.insert(words.end(), arguments.rest.begin(), arguments.rest.end());
  std::vector<char*> pointers;
  for (std::string& w : words) pointers.push_back(w.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (count > 1) throw std::invalid_argument(std::string(pointers[1]) + ": no such option");

  Reporter reporter(cases);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  for (const Result& r : memory_results()) reporter.add(r);
  if (!arguments.json.empty()) {
    write_results(arguments.json, "datapath", command, reporter.results());
  }
  return reporter.failed() ? 1 : 0;
}

}  // namespace
}  // namespace synproxy::bench

int main(int argc, char** argv) {
  try {
    const auto arguments = synproxy::bench::parse(argc, argv);
    if (arguments.help) {
      std::cout << synproxy::bench::kUsage;
      return 0;
    }
    std::string command = argv[0];
    for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
    return synproxy::bench::run_bench(arguments, command);
  } catch (const std::invalid_argument& e) {
    std::cerr << "datapath: " << e.what() << '\n';
    return 2;
  } catch (const std::exception& e) {
    std::cerr << "datapath: " << e.what() << '\n';
    return 1;
  }
}
