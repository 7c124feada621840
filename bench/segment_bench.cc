// SPDX-License-Identifier: BSD-3-Clause
// Parsing frames of every kind that a link carries, and verifying both checksums of one.
#include "synproxy/wire/segment.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "median_cycles.h"
#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr std::size_t kFrames = 256;  // at full size, more than the first-level cache holds

std::vector<Bytes> copies(const PacketBuilder& builder) {
  return std::vector<Bytes>(kFrames, builder.build());
}

void parse(benchmark::State& state, const PacketBuilder& builder) {
  auto frames = copies(builder);
  MedianCycles cycles;
  Segment s;
  for ([[maybe_unused]] auto _ : state) {
    cycles.start();
    for (Bytes& f : frames) {
      parse_frame(f.data(), f.size(), s);
      benchmark::DoNotOptimize(s);
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/packet", kFrames);
}

void verify(benchmark::State& state, const PacketBuilder& builder) {
  auto frames = copies(builder);
  std::vector<Segment> segments(kFrames);
  for (std::size_t i = 0; i < kFrames; ++i) {
    parse_frame(frames[i].data(), frames[i].size(), segments[i]);
  }
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    std::size_t good = 0;
    cycles.start();
    for (const Segment& s : segments) good += checksums_good(s) ? 1U : 0U;
    cycles.stop();
    if (good != kFrames) state.SkipWithError("a good checksum was refused");
  }
  cycles.report(state, "cycles/packet", kFrames);
}

PacketBuilder v4() { return PacketBuilder().seq(1).ack(2).timestamps(3, 4); }
PacketBuilder v6() { return v4().ipv6("2001:db8:1::7", "2001:db8::10"); }
PacketBuilder syn() {
  return PacketBuilder().flags(kSyn).mss(1460).sack_permitted().timestamps(1, 0).window_scale(7);
}

BENCHMARK_CAPTURE(parse, ipv4, v4());
BENCHMARK_CAPTURE(parse, ipv4_qinq, v4().vlan(1, kEtherTypeQinQ).vlan(2));
BENCHMARK_CAPTURE(parse, ipv4_options, v4().ip_options(Bytes(8, 1)));
BENCHMARK_CAPTURE(parse, ipv6, v6());
BENCHMARK_CAPTURE(parse, ipv6_two_extensions, v6().extension(0).extension(60));
BENCHMARK_CAPTURE(parse, udp, v4().protocol(17));
BENCHMARK_CAPTURE(verify, syn, syn());
BENCHMARK_CAPTURE(verify, syn_ipv6, syn().ipv6("2001:db8:1::7", "2001:db8::10"));
BENCHMARK_CAPTURE(verify, full_sized, v4().payload(Bytes(1448, 0x5a)));

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
