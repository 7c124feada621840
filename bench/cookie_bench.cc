// SPDX-License-Identifier: BSD-3-Clause
// Making and checking cookies, burst by burst: with the MAC, and only the arithmetic.
#include "synproxy/cookie/cookie.h"

#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "median_cycles.h"
#include "synproxy/cookie/epoch.h"
#include "synproxy/cookie/master_secret.h"

namespace {

using synproxy::ClientOptions;
using synproxy::Cookie;
using synproxy::FlowKey;
using synproxy::LayoutKey;
using synproxy::MacInput;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kBursts = 64;

struct Segment {
  FlowKey flow;
  std::uint32_t isn;
  ClientOptions options;
  Cookie cookie;  // random, as in a flood: hardly ever valid
};

// Random connections of one family; half of a burst has timestamps.
class Traffic {
 public:
  explicit Traffic(bool ipv6) : secret_(synproxy::MasterSecret::random()) {
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < kBurst * kBursts; ++i) {
      Segment s{};
      s.flow.ipv6 = ipv6;
      for (std::size_t byte = 0; byte < (ipv6 ? 16U : 4U); ++byte) {
        s.flow.client[byte] = static_cast<std::uint8_t>(random());
        s.flow.server[byte] = static_cast<std::uint8_t>(byte);
      }
      s.flow.client_port = static_cast<std::uint16_t>(random());
      s.flow.server_port = 443;
      s.isn = static_cast<std::uint32_t>(random());
      const auto scale = static_cast<std::uint8_t>(random() & 15);
      s.options = {.mss = static_cast<std::uint16_t>(1200 + random() % 261),
                   .wscale = scale,
                   .sack = (random() & 1) != 0,
                   .ecn = false,
                   .timestamps = (random() & 1) != 0,
                   .offered_scale = scale == synproxy::kNoScale ? scale : std::uint8_t{7}};
      s.cookie = {.isn = static_cast<std::uint32_t>(random()),
                  .tsval = static_cast<std::uint32_t>(random())};
      segments_.push_back(s);
    }
    synproxy::publish_epochs(ring_, secret_, 1000);
    keys.refresh(ring_, {.epoch = 1000, .second_half = false});
  }
  const Segment* next() {
    const Segment* burst = &segments_[next_ * kBurst];
    next_ = (next_ + 1) % kBursts;
    return burst;
  }

  synproxy::WorkerKeys keys;

 private:
  synproxy::MasterSecret secret_;
  synproxy::KeyRing ring_;
  std::vector<Segment> segments_;
  std::size_t next_ = 0;
};

const LayoutKey& layout_of(const synproxy::EpochKeys& keys, bool timestamps) {
  return timestamps ? keys.timestamps : keys.plain;
}

void make(benchmark::State& state) {
  Traffic traffic(state.range(0) == 6);
  std::array<const LayoutKey*, kBurst> layouts;
  std::array<std::uint64_t, kBurst> k0s, k1s, macs;
  std::array<MacInput, kBurst> in;
  std::array<Cookie, kBurst> out;
  MedianCycles cycles;
  while (state.KeepRunning()) {
    cycles.start();
    for (std::size_t b = 0; b < kBursts; ++b) {
      const Segment* burst = traffic.next();
      const synproxy::EpochKeys& keys = *traffic.keys.current();
      for (std::size_t i = 0; i < kBurst; ++i) {
        layouts[i] = &layout_of(keys, burst[i].options.timestamps);
        k0s[i] = layouts[i]->k0;
        k1s[i] = layouts[i]->k1;
        in[i] = synproxy::cookie_mac_input(burst[i].flow, burst[i].isn);
      }
      synproxy::siphash24_burst(k0s.data(), k1s.data(), in.data(), macs.data(), kBurst);
      for (std::size_t i = 0; i < kBurst; ++i) {
        out[i] = synproxy::make_cookie(macs[i], *layouts[i], keys.epoch & 1, burst[i].options);
      }
      benchmark::DoNotOptimize(out.data());
      benchmark::ClobberMemory();
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/cookie", kBurst * kBursts);
}
BENCHMARK(make)->Arg(4)->Arg(6)->ArgName("ipv");

void check(benchmark::State& state) {
  Traffic traffic(state.range(0) == 6);
  std::array<const LayoutKey*, kBurst> layouts;
  std::array<std::uint64_t, kBurst> k0s, k1s, macs;
  std::array<MacInput, kBurst> in;
  std::uint64_t valid = 0;
  MedianCycles cycles;
  while (state.KeepRunning()) {
    cycles.start();
    for (std::size_t b = 0; b < kBursts; ++b) {
      const Segment* burst = traffic.next();
      for (std::size_t i = 0; i < kBurst; ++i) {
        const synproxy::EpochKeys* keys =
            traffic.keys.for_parity(synproxy::cookie_parity(burst[i].cookie.isn));
        layouts[i] = &layout_of(*keys, burst[i].options.timestamps);
        k0s[i] = layouts[i]->k0;
        k1s[i] = layouts[i]->k1;
        in[i] = synproxy::cookie_mac_input(burst[i].flow, burst[i].isn);
      }
      synproxy::siphash24_burst(k0s.data(), k1s.data(), in.data(), macs.data(), kBurst);
      for (std::size_t i = 0; i < kBurst; ++i) {
        ClientOptions options;
        valid +=
            synproxy::check_cookie(macs[i], *layouts[i], burst[i].cookie,
                                   burst[i].options.timestamps, synproxy::scale_set(7), options)
                ? 1
                : 0;
      }
      benchmark::DoNotOptimize(valid);
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/cookie", kBurst * kBursts);
}
BENCHMARK(check)->Arg(4)->Arg(6)->ArgName("ipv");

// Without the MAC: the cost of the layout itself.
void check_arithmetic(benchmark::State& state) {
  Traffic traffic(false);
  const synproxy::EpochKeys& keys = *traffic.keys.current();
  std::uint64_t valid = 0;
  MedianCycles cycles;
  while (state.KeepRunning()) {
    cycles.start();
    for (std::size_t b = 0; b < kBursts; ++b) {
      const Segment* burst = traffic.next();
      for (std::size_t i = 0; i < kBurst; ++i) {
        const bool timestamps = burst[i].options.timestamps;
        ClientOptions options;
        valid +=
            synproxy::check_cookie(burst[i].isn * keys.plain.k0, layout_of(keys, timestamps),
                                   burst[i].cookie, timestamps, synproxy::scale_set(7), options)
                ? 1
                : 0;
      }
      benchmark::DoNotOptimize(valid);
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/cookie", kBurst * kBursts);
}
BENCHMARK(check_arithmetic);

}  // namespace

BENCHMARK_MAIN();
