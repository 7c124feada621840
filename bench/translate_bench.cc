// SPDX-License-Identifier: BSD-3-Clause
// Rewrites parsed segments of a spliced connection, both ways. The payload is never read, so its
// size must not matter.
#include "synproxy/proxy/translate.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "median_cycles.h"
#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr std::size_t kFrames = 256;

FlowRecord flow() {
  FlowRecord f;
  f.become_spliced(FlowState::kEstablished,
                   {.delta = 0x12345678, .ts_delta = 0x9abcdef0, .window = 0, .mark_second = 0});
  f.options = kFlowTimestamps | kFlowSack | kFlowClientScales | kFlowServerScales;
  f.set_scales(7, 9);  // the server's differs from the one offered
  f.set_link(0, 7);
  return f;
}

template <bool kToServer>
void translate(benchmark::State& state, const PacketBuilder& builder) {
  std::vector<Bytes> frames(kFrames, builder.build());
  std::vector<Segment> segments(kFrames);
  for (std::size_t i = 0; i < kFrames; ++i) {
    parse_frame(frames[i].data(), frames[i].size(), segments[i]);
  }
  const FlowRecord f = flow();
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    std::size_t whole = 0;
    cycles.start();
    for (const Segment& s : segments) {
      whole += (kToServer ? translate_to_server(s, f) : translate_to_client(s, f)) ? 1U : 0U;
    }
    cycles.stop();
    if (whole != kFrames) state.SkipWithError("a good option list was refused");
  }
  cycles.report(state, "cycles/packet", kFrames);
}

PacketBuilder bare() { return PacketBuilder().seq(1).ack(2); }
PacketBuilder stamped() { return bare().timestamps(3, 4); }

// Two NOPs, 12 bytes of timestamps and three blocks fill the 40 bytes.
std::vector<std::pair<std::uint32_t, std::uint32_t>> three_blocks() {
  return {{1, 2}, {3, 4}, {5, 6}};
}

void to_server(benchmark::State& state, const PacketBuilder& b) { translate<true>(state, b); }
void to_client(benchmark::State& state, const PacketBuilder& b) { translate<false>(state, b); }

BENCHMARK_CAPTURE(to_server, bare, bare());
BENCHMARK_CAPTURE(to_server, timestamps, stamped());
BENCHMARK_CAPTURE(to_server, three_sack_blocks, stamped().nop(2).sack(three_blocks()));
BENCHMARK_CAPTURE(to_client, bare, bare());
BENCHMARK_CAPTURE(to_client, timestamps, stamped());
BENCHMARK_CAPTURE(to_client, full_sized, stamped().payload(Bytes(1448, 0x5a)));

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
