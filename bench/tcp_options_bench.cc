// SPDX-License-Identifier: BSD-3-Clause
// Walks the option lists that systems send.
#include "synproxy/wire/tcp_options.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstring>

#include "median_cycles.h"

namespace synproxy {
namespace {

constexpr std::size_t kLists = 256;
constexpr std::size_t kStride = 64;

struct List {
  std::array<std::uint8_t, kMaxOptionBytes> bytes;
  std::size_t size;
};

constexpr List kLinuxSyn{{2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}, 20};
constexpr List kWindowsSyn{{2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2}, 12};
constexpr List kAligned{{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, 12};
constexpr List kWithSack{{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 18}, 32};
constexpr List kNops{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                     40};

template <typename Parse>
void run(benchmark::State& state, const List& list, Parse parse) {
  std::array<std::uint8_t, kLists * kStride> memory{};
  for (std::size_t i = 0; i < kLists; ++i) {
    std::memcpy(&memory[i * kStride], list.bytes.data(), list.size);
  }
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    cycles.start();
    for (std::size_t i = 0; i < kLists; ++i) {
      auto parsed = parse(&memory[i * kStride], list.size);
      benchmark::DoNotOptimize(parsed);
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/packet", kLists);
}

void all(benchmark::State& state, const List& list) {
  run(state, list, [](const auto* options, auto size) { return parse_tcp_options(options, size); });
}
void timestamps(benchmark::State& state, const List& list) { run(state, list, find_timestamps); }

BENCHMARK_CAPTURE(all, syn_of_linux, kLinuxSyn);
BENCHMARK_CAPTURE(all, syn_of_windows, kWindowsSyn);
BENCHMARK_CAPTURE(all, forty_nops, kNops);
BENCHMARK_CAPTURE(timestamps, aligned, kAligned);
BENCHMARK_CAPTURE(timestamps, with_sack, kWithSack);
BENCHMARK_CAPTURE(timestamps, none, kNops);

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
