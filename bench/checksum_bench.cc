// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum over packets of usual sizes, and the incremental update that the splice
// makes instead.
#include "synproxy/wire/checksum.h"

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "median_cycles.h"

namespace synproxy {
namespace {

constexpr std::size_t kPackets = 64;

std::vector<std::uint8_t> random_bytes(std::size_t n) {
  std::mt19937 random(1);
  std::vector<std::uint8_t> bytes(n);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
  return bytes;
}

void sum(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto bytes = random_bytes(kPackets * size);
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    std::uint32_t total = 0;
    cycles.start();
    for (std::size_t i = 0; i < kPackets; ++i) {
      total += finish_sum(add_to_sum(0, &bytes[i * size], size));
    }
    cycles.stop();
    benchmark::DoNotOptimize(total);
  }
  cycles.report(state, "cycles/packet", kPackets);
}
BENCHMARK(sum)->Arg(20)->Arg(40)->Arg(60)->Arg(512)->Arg(1480)->Arg(8980);

void pseudo_header(benchmark::State& state) {
  const bool ipv6 = state.range(0) != 0;
  const auto bytes = random_bytes(kPackets * 32);
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    std::uint64_t total = 0;
    cycles.start();
    for (std::size_t i = 0; i < kPackets; ++i) {
      total += pseudo_header_sum(&bytes[i * 32], ipv6, 6, 40);
    }
    cycles.stop();
    benchmark::DoNotOptimize(total);
  }
  cycles.report(state, "cycles/packet", kPackets);
}
BENCHMARK(pseudo_header)->ArgName("ipv6")->Arg(0)->Arg(1);

// A segment from client to server changes in acknowledgement number and TSecr.
void update(benchmark::State& state) {
  auto bytes = random_bytes(kPackets * 16);
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    cycles.start();
    for (std::size_t i = 0; i < kPackets; ++i) {
      std::uint8_t* p = &bytes[i * 16];
      ChecksumUpdate change;
      for (const std::size_t at : {4U, 8U}) {
        const auto before = load_raw<std::uint32_t>(p + at);
        const std::uint32_t after = before + 0x01020304U;
        std::memcpy(p + at, &after, sizeof after);
        change.replace32(before, after);
      }
      change.apply(p);
    }
    cycles.stop();
    benchmark::ClobberMemory();
  }
  cycles.report(state, "cycles/packet", kPackets);
}
BENCHMARK(update);

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
