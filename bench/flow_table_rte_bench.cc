// SPDX-License-Identifier: BSD-3-Clause
// DPDK's rte_hash in the flow table's place: the same keys, the same bursts, the same records read.
// Its default hash (CRC32) has no key. Run as it is, it takes ordinary pages; hugepages help it as
// they help the flow table, so compare figures of the same kind.
#include <benchmark/benchmark.h>
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "flow_bench.h"
#include "median_cycles.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"

namespace synproxy {
namespace {

using bench::Burst;
using bench::kBurst;
using bench::RandomKeys;
using testing::ipv4_key;

// Addresses, ports, VLANs and family without a gap.
using FlatKey = std::array<std::uint8_t, 40>;
FlatKey flat(const FlowKey& key) {
  FlatKey bytes{};
  const std::uint32_t tail = key.vlan.packed | (key.ipv6 ? 1U << 31 : 0U);
  std::memcpy(bytes.data(), key.client.data(), 16);
  std::memcpy(bytes.data() + 16, key.server.data(), 16);
  std::memcpy(bytes.data() + 32, &key.client_port, 2);
  std::memcpy(bytes.data() + 34, &key.server_port, 2);
  std::memcpy(bytes.data() + 36, &tail, 4);
  return bytes;
}

void rte_hash_find(benchmark::State& state, bool hit) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  rte_hash_parameters parameters{};
  parameters.name = "flows";
  parameters.entries = flows + flows / 4;
  parameters.key_len = sizeof(FlatKey);
  parameters.hash_func = rte_hash_crc;
  rte_hash* const table = rte_hash_create(&parameters);
  if (table == nullptr) {
    state.SkipWithError("rte_hash_create: not enough memory");
    return;
  }
  // Positions go up to the number of entries and one more.
  const Mapping memory((std::size_t{parameters.entries} + 1) * sizeof(FlowRecord),
                       Mapping::Kind::kReserved);
  auto* const records = static_cast<FlowRecord*>(memory.data());
  for (std::uint64_t n = 0; n < flows; ++n) {
    const FlatKey key = flat(ipv4_key(n));
    const std::int32_t position = rte_hash_add_key(table, &key);
    if (position < 0) std::abort();
    records[position].state = FlowState::kEstablished;
  }
  RandomKeys keys(ipv4_key, hit ? 0 : flows, flows);
  MedianCycles counter;
  Burst burst;
  std::array<FlatKey, kBurst> flat_keys;
  std::array<const void*, kBurst> pointers;
  std::uint64_t found = 0;
  std::uint64_t asked = 0;
  for ([[maybe_unused]] auto _ : state) {
    keys.next(burst);
    for (std::size_t i = 0; i < kBurst; ++i) {
      flat_keys[i] = flat(burst[i]);
      pointers[i] = &flat_keys[i];
    }
    std::array<std::int32_t, kBurst> positions;
    counter.start();
    rte_hash_lookup_bulk(table, pointers.data(), kBurst, positions.data());
    for (const std::int32_t position : positions) {
      if (position >= 0) __builtin_prefetch(records + position);
    }
    for (const std::int32_t position : positions) {
      if (position >= 0 && records[position].state == FlowState::kEstablished) ++found;
    }
    counter.stop();
    asked += kBurst;
  }
  if (found != (hit ? asked : 0)) state.SkipWithError("rte_hash lost or invented a flow");
  counter.report(state, "cycles", kBurst);
  rte_hash_free(table);
}
void rte_hash_find_hit(benchmark::State& state) { rte_hash_find(state, true); }
void rte_hash_find_miss(benchmark::State& state) { rte_hash_find(state, false); }
BENCHMARK(rte_hash_find_hit)->Arg(1000)->Arg(1000000)->Arg(10000000);
BENCHMARK(rte_hash_find_miss)->Arg(1000)->Arg(1000000)->Arg(10000000);

}  // namespace
}  // namespace synproxy

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::array<std::string, 7> words = {argv[0],
                                      "--no-huge",
                                      "-m",
                                      "1536",
                                      "--no-pci",
                                      "--no-telemetry",
                                      "--file-prefix=flow-table-rte-bench"};
  std::array<char*, 8> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  if (rte_eal_init(static_cast<int>(words.size()), arguments.data()) < 0) {
    static_cast<void>(std::fputs("EAL does not start: 1,536 MB of memory are needed\n", stderr));
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
}
