// SPDX-License-Identifier: BSD-3-Clause
// The cost of looking at a SYN and not answering it, in bursts of 32, as in the dataplane. A worker
// also pays for receiving the frame and freeing its buffer.
#include "synproxy/policy/shed.h"

#include <benchmark/benchmark.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

#include "median_cycles.h"
#include "support/packet_builder.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr SynShedder::Key kKey{0x0123456789abcdefU, 0xfedcba9876543210U, 0x0f1e2d3c4b5a6978U,
                               0x1122334455667788U};
constexpr std::size_t kBursts = 32;
constexpr std::size_t kSyns = kBursts * kMaxBurst;

const ProtectSet& protect() {
  static const ProtectSet set(
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")});
  return set;
}

PacketBuilder syn(bool ipv6) {
  PacketBuilder b = PacketBuilder().flags(kSyn).mss(1460).sack_permitted().timestamps(1, 0);
  if (ipv6) b.ipv6("2001:db8:1::7", "2001:db8::10");
  return b;
}

void look(benchmark::State& state, const PacketBuilder& builder) {
  std::vector<Bytes> frames(kSyns, builder.build());
  SynLook look(protect());
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    std::size_t found = 0;
    SynIdentity identity;
    cycles.start();
    for (const Bytes& f : frames) {
      found += look.is_syn(f.data(), f.size(), identity) ? 1U : 0U;
      benchmark::DoNotOptimize(identity);
    }
    cycles.stop();
    benchmark::DoNotOptimize(found);
  }
  cycles.report(state, "cycles/packet", kSyns);
}

// The whole way, at a share of 1/64, for SYNs that never come again. `per_ms`: how many arrive in a
// millisecond; above 1,600 the memory notes only some of them.
class Shedding {
 public:
  Shedding(bool ipv6, std::size_t per_ms)
      : per_ms_(per_ms), source_at_(ipv6 ? 22 : 26), frames_(kSyns, syn(ipv6).build()) {
    for (int i = 0; i < 100; ++i) shedder_.tick(++ms_, {.refused = true});
    // Two generations of the memory fill first.
    for (std::size_t i = 0; i < 2 * RetryMemory::kGenerationMs * per_ms / kSyns; ++i) {
      fresh();
      run();
    }
  }

  // Other sources.
  void fresh() {
    for (Bytes& f : frames_) {
      store_be(f.data() + source_at_, static_cast<std::uint32_t>(random_()));
    }
  }

  void run() {
    std::uint32_t through = 0;
    for (std::size_t b = 0; b < kBursts; ++b) {
      std::array<SynIdentity, kMaxBurst> syns;
      std::size_t n = 0;
      for (std::size_t i = 0; i < kMaxBurst; ++i) {
        const Bytes& f = frames_[b * kMaxBurst + i];
        n += look_.is_syn(f.data(), f.size(), syns[n]) ? 1U : 0U;
      }
      through |= shedder_.let_through({syns.data(), n});
    }
    benchmark::DoNotOptimize(through);
    arrived_ += kSyns;
    if (arrived_ >= per_ms_) {
      ms_ += arrived_ / per_ms_;
      arrived_ %= per_ms_;
      shedder_.tick(ms_, {});
    }
  }

 private:
  std::size_t per_ms_;
  std::size_t source_at_;
  std::vector<Bytes> frames_;
  SynLook look_{protect()};
  SynShedder shedder_{kKey};
  std::uint64_t ms_ = 1000;
  std::size_t arrived_ = 0;
  std::mt19937_64 random_{1};
};

// Google Benchmark calls a bench many times, and to fill the memory takes longer than to measure.
Shedding& filled(bool ipv6, std::size_t per_ms) {
  static std::map<std::pair<bool, std::size_t>, Shedding> all;
  return all.try_emplace({ipv6, per_ms}, ipv6, per_ms).first->second;
}

void shed(benchmark::State& state, bool ipv6, std::size_t per_ms) {
  Shedding& shedding = filled(ipv6, per_ms);
  MedianCycles cycles;
  for ([[maybe_unused]] auto _ : state) {
    shedding.fresh();
    cycles.start();
    shedding.run();
    cycles.stop();
  }
  cycles.report(state, "cycles/packet", kSyns);
}

BENCHMARK_CAPTURE(look, syn_ipv4, syn(false));
BENCHMARK_CAPTURE(look, syn_ipv6, syn(true));
BENCHMARK_CAPTURE(look, syn_ipv4_qinq, syn(false).vlan(1, kEtherTypeQinQ).vlan(2));
BENCHMARK_CAPTURE(look, syn_ipv4_options, syn(false).ip_options(Bytes(8, 1)));
BENCHMARK_CAPTURE(look, ack_ipv4, syn(false).flags(kAck));
BENCHMARK_CAPTURE(shed, ipv4_1M_a_second, false, 1000);
BENCHMARK_CAPTURE(shed, ipv4_10M_a_second, false, 10'000);
BENCHMARK_CAPTURE(shed, ipv4_20M_a_second, false, 20'000);
BENCHMARK_CAPTURE(shed, ipv6_10M_a_second, true, 10'000);

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
