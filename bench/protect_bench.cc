// SPDX-License-Identifier: BSD-3-Clause
// The look-up whether an address and port are protected: with one rule, as most users have, and
// with thousands.
#include "synproxy/policy/protect.h"

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "median_cycles.h"

namespace {

using synproxy::AddressBytes;
using synproxy::ProtectRule;
using synproxy::ProtectSet;

struct Probe {
  AddressBytes address;
  std::uint16_t port;
};

// Rules are /32 or /128 (every fourth a /24 or /64) with one port; half of the probes hit one.
void matches(benchmark::State& state) {
  const bool ipv6 = state.range(0) == 6;
  const auto count = static_cast<std::size_t>(state.range(1));
  std::mt19937_64 random(1);
  std::vector<ProtectRule> rules;
  for (std::size_t i = 0; i < count; ++i) {
    ProtectRule rule;
    rule.ipv6 = ipv6;
    rule.first_port = rule.last_port = 443;
    const bool subnet = i % 4 == 3;
    rule.prefix_length = static_cast<std::uint8_t>(ipv6 ? (subnet ? 64 : 128) : (subnet ? 24 : 32));
    for (unsigned byte = 0; byte < rule.prefix_length / 8U; ++byte) {
      rule.address[byte] = static_cast<std::uint8_t>(random());
    }
    rules.push_back(rule);
  }
  constexpr std::size_t kProbes = 4096;
  std::vector<Probe> probes;
  for (std::size_t i = 0; i < kProbes; ++i) {
    Probe probe{rules[random() % count].address, 443};
    if (random() % 2 == 0) {
      for (std::uint8_t& byte : probe.address) {
        byte = static_cast<std::uint8_t>(random());
      }
    }
    probes.push_back(probe);
  }
  const ProtectSet set(std::move(rules));
  std::uint64_t hits = 0;
  MedianCycles cycles;
  while (state.KeepRunning()) {
    cycles.start();
    for (const Probe& probe : probes) {
      hits += set.matches(probe.address.data(), ipv6, probe.port) ? 1 : 0;
    }
    benchmark::DoNotOptimize(hits);
    cycles.stop();
  }
  cycles.report(state, "cycles/packet", kProbes);
}
BENCHMARK(matches)->ArgNames({"ipv", "rules"})->ArgsProduct({{4, 6}, {1, 2, 16, 256, 4096}});

}  // namespace

BENCHMARK_MAIN();
