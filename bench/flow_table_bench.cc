// SPDX-License-Identifier: BSD-3-Clause
// The parts of a flow look-up: the keyed hash, both families, the replay filter. For comparison,
// the standard library's map, one look-up after the other. The counter `cycles` is per operation,
// from the time-stamp counter, around the burst alone; the column of times includes making the
// keys. flow_table/ has churn, ten million flows and rte_hash.
#include "synproxy/flow/table.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <unordered_map>

#include "flow_bench.h"
#include "median_cycles.h"
#include "synproxy/flow/replay_filter.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using bench::Burst;
using bench::kBurst;
using bench::MakeKey;
using bench::RandomKeys;
using test::hash_of;
using test::ipv4_key;
using test::ipv6_key;
using test::scrambled;

// A full table takes seconds to make, so it is kept for the next bench of the same kind.
FlowTable& full_table(MakeKey make, std::uint32_t flows) {
  static std::unique_ptr<FlowTable> table;
  static MakeKey made_by = nullptr;
  if (table == nullptr || table->capacity() != flows || made_by != make) {
    table.reset();
    table = std::make_unique<FlowTable>(flows);
    for (std::uint64_t n = 0; n < flows; ++n) {
      const FlowIndex index = table->insert(make(n), hash_of(make(n)));
      if (index == kNoFlow) std::abort();
      (*table)[index].become_spliced(FlowState::kEstablished, {});
    }
    made_by = make;
  }
  return *table;
}

// The cost of bursts until every record has been read once.
std::uint32_t find_burst(const FlowTable& table, const Burst& burst) {
  std::array<std::uint64_t, kBurst> hashes;
  for (std::size_t i = 0; i < kBurst; ++i) {
    hashes[i] = hash_of(burst[i]);
    table.prefetch_bucket(hashes[i]);
  }
  for (const std::uint64_t hash : hashes) table.prefetch_record(hash);
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < kBurst; ++i) {
    const FlowIndex index = table.find(burst[i], hashes[i]);
    if (index != kNoFlow && table[index].state() == FlowState::kEstablished) ++found;
  }
  return found;
}

void find(benchmark::State& state, MakeKey make, bool hit) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  const FlowTable& table = full_table(make, flows);
  RandomKeys keys(make, hit ? 0 : flows, flows);
  MedianCycles counter;
  Burst burst;
  std::uint64_t found = 0;
  std::uint64_t asked = 0;
  for ([[maybe_unused]] auto _ : state) {
    keys.next(burst);
    counter.start();
    found += find_burst(table, burst);
    counter.stop();
    asked += kBurst;
  }
  if (found != (hit ? asked : 0)) state.SkipWithError("the table lost or invented a flow");
  counter.report(state, "cycles", kBurst);
}

void find_hit_ipv4(benchmark::State& state) { find(state, ipv4_key, true); }
void find_hit_ipv6(benchmark::State& state) { find(state, ipv6_key, true); }
void find_miss_ipv6(benchmark::State& state) { find(state, ipv6_key, false); }
BENCHMARK(find_hit_ipv4)->Arg(1000)->Arg(1000000);
BENCHMARK(find_hit_ipv6)->Arg(1000)->Arg(1000000);
BENCHMARK(find_miss_ipv6)->Arg(1000)->Arg(1000000);

void hash_burst(benchmark::State& state, MakeKey make) {
  RandomKeys keys(make, 0, 1000000);
  Burst burst;
  keys.next(burst);
  MedianCycles counter;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(burst);
    counter.start();
    std::uint64_t all = 0;
    for (const FlowKey& key : burst) all ^= hash_of(key);
    benchmark::DoNotOptimize(all);
    counter.stop();
  }
  counter.report(state, "cycles", kBurst);
}
void index_hash_ipv4(benchmark::State& state) { hash_burst(state, ipv4_key); }
void index_hash_ipv6(benchmark::State& state) { hash_burst(state, ipv6_key); }
BENCHMARK(index_hash_ipv4);
BENCHMARK(index_hash_ipv6);

void replay_filter(benchmark::State& state) {
  const auto entries = static_cast<std::uint32_t>(state.range(0));
  ReplayFilter filter(entries);
  for (std::uint64_t n = 0; n < entries; ++n) filter.insert(1, scrambled(n));
  MedianCycles counter;
  std::uint64_t n = entries;
  std::uint64_t hits = 0;
  for ([[maybe_unused]] auto _ : state) {
    counter.start();
    for (std::size_t i = 0; i < kBurst; ++i) hits += filter.contains(1, scrambled(n++)) ? 1U : 0U;
    counter.stop();
  }
  benchmark::DoNotOptimize(hits);
  counter.report(state, "cycles", kBurst);
}
BENCHMARK(replay_filter)->Arg(1000)->Arg(1000000);

// ---- The standard library ----

struct StdHash {
  std::size_t operator()(const FlowKey& key) const { return hash_of(key); }
};

void unordered_map_find(benchmark::State& state, bool hit) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  std::unordered_map<FlowKey, FlowRecord, StdHash> map;
  map.reserve(flows);
  for (std::uint64_t n = 0; n < flows; ++n)
    map[ipv4_key(n)].become_spliced(FlowState::kEstablished, {});
  RandomKeys keys(ipv4_key, hit ? 0 : flows, flows);
  MedianCycles counter;
  Burst burst;
  std::uint64_t found = 0;
  for ([[maybe_unused]] auto _ : state) {
    keys.next(burst);
    counter.start();
    for (const FlowKey& key : burst) {
      const auto at = map.find(key);
      if (at != map.end() && at->second.state() == FlowState::kEstablished) ++found;
    }
    counter.stop();
  }
  benchmark::DoNotOptimize(found);
  counter.report(state, "cycles", kBurst);
}
void unordered_map_find_hit(benchmark::State& state) { unordered_map_find(state, true); }
void unordered_map_find_miss(benchmark::State& state) { unordered_map_find(state, false); }
BENCHMARK(unordered_map_find_hit)->Arg(1000)->Arg(1000000);
BENCHMARK(unordered_map_find_miss)->Arg(1000)->Arg(1000000);

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
