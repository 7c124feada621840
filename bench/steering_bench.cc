// SPDX-License-Identifier: BSD-3-Clause
// Steering decides which of two workers owns each frame of a burst: by the keyed hash, by RSS
// computed here, or by the hash that a device reports. Either all frames are ours, or half of them
// belong to the other worker, who takes them out of its ring. Both ends of the ring run on one core
// here, so the figure does not include moving its lines from core to core.
#include "dataplane/steering.h"

#include <benchmark/benchmark.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "median_cycles.h"
#include "support/packet_builder.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr unsigned kWorkers = 2;
constexpr std::size_t kFrames = 1024;  // more than a receive ring keeps warm
constexpr RssWord kWord = 0x6d5a;
constexpr IndexKey kKey{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
                        0x082efa98ec4e6c89};

enum class By : std::uint8_t { kKeyedHash, kRss, kReportedHash };

const ProtectSet& protect() {
  static const ProtectSet set({parse_protect_rule("203.0.113.10:80")});
  return set;
}
const RssOwner& rss_owner() {
  static const RssOwner owner(kWord, 128, kWorkers);
  return owner;
}

unsigned owner_of_frame(const Bytes& frame, By by) {
  if (by == By::kKeyedHash) {
    Arrival found;
    return owner_of({frame.data(), frame.size()}, Role::kClient, protect(), kKey, kWorkers, 0,
                    found);
  }
  FlowKey key;
  return flow_of({frame.data(), frame.size()}, Role::kClient, protect(), key)
             ? rss_owner().of(fold_of(key))
             : kWorkers;
}

// Frames of random clients: all of them belong to worker 0, or half of them.
std::vector<rte_mbuf*> frames(rte_mempool* pool, By by, bool all_ours) {
  std::mt19937 random(1);
  std::vector<rte_mbuf*> made;
  while (made.size() < kFrames) {
    const std::array<std::uint8_t, 4> client{
        static_cast<std::uint8_t>(random() % 200 + 1), static_cast<std::uint8_t>(random()),
        static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random())};
    const std::array<std::uint8_t, 4> server{203, 0, 113, 10};
    const Bytes frame = PacketBuilder()
                            .ip_raw(client, server)
                            .ports(static_cast<std::uint16_t>(random()), 80)
                            .flags(kSyn)
                            .mss(1460)
                            .sack_permitted()
                            .timestamps(1, 0)
                            .build();
    if (all_ours && owner_of_frame(frame, by) != 0) continue;
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) return {};
    std::copy(frame.begin(), frame.end(), rte_pktmbuf_mtod(m, std::uint8_t*));
    m->data_len = static_cast<std::uint16_t>(frame.size());
    m->pkt_len = m->data_len;
    if (by == By::kReportedHash) {
      m->hash.rss = rss_owner().hash_of(fold_of(frame.data(), PlainTcp::kIpv4));
      m->ol_flags = RTE_MBUF_F_RX_RSS_HASH;
    }
    made.push_back(m);
  }
  return made;
}

rte_mempool* make_pool() {
  return rte_pktmbuf_pool_create("bench", 2047, 0, 0, 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
}

void steer(benchmark::State& state, By by, bool all_ours) {
  rte_mempool* pool = make_pool();
  const auto all = pool == nullptr ? std::vector<rte_mbuf*>() : frames(pool, by, all_ours);
  if (all.empty()) {
    state.SkipWithError("no buffers");
    return;
  }
  {
    HandOver hand_over(kWorkers);
    Steering steering(0, kWorkers, protect(), kKey, by == By::kKeyedHash ? nullptr : &rss_owner(),
                      hand_over);
    IoCounters io;
    MedianCycles cycles;
    for ([[maybe_unused]] auto _ : state) {
      std::array<rte_mbuf*, kMaxBurst> burst;
      std::size_t seen = 0;
      cycles.start();
      for (std::size_t at = 0; at < kFrames; at += kMaxBurst) {
        std::copy_n(&all[at], kMaxBurst, burst.begin());
        seen += steering.sort(PortId::kClient, Role::kClient, burst.data(), kMaxBurst, io);
        if (!all_ours) seen += hand_over.take(1, Role::kClient, burst.data(), kMaxBurst);
      }
      cycles.stop();
      if (seen != kFrames) state.SkipWithError("frames were lost");
    }
    if (all_ours && io.handed_over.get() != 0) state.SkipWithError("somebody else's frame");
    cycles.report(state, "cycles/packet", kFrames);
    state.counters["handed_over"] = static_cast<double>(io.handed_over.get()) /
                                    static_cast<double>(state.iterations() * kFrames);
  }
  for (rte_mbuf* m : all) rte_pktmbuf_free(m);
  rte_mempool_free(pool);
}

BENCHMARK_CAPTURE(steer, keyed_hash, By::kKeyedHash, true);
BENCHMARK_CAPTURE(steer, rss, By::kRss, true);
BENCHMARK_CAPTURE(steer, rss_reported, By::kReportedHash, true);
BENCHMARK_CAPTURE(steer, keyed_hash_half_handed_over, By::kKeyedHash, false);
BENCHMARK_CAPTURE(steer, rss_half_handed_over, By::kRss, false);

}  // namespace
}  // namespace synproxy::dataplane

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::array<std::string, 7> words = {argv[0],
                                      "--no-huge",
                                      "-m",
                                      "64",
                                      "--no-pci",
                                      "--no-telemetry",
                                      "--file-prefix=steering-bench"};
  std::array<char*, 8> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  if (rte_eal_init(static_cast<int>(words.size()), arguments.data()) < 0) {
    static_cast<void>(std::fputs("EAL does not start: 64 MB of memory are needed\n", stderr));
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
}
