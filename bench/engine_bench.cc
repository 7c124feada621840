// SPDX-License-Identifier: BSD-3-Clause
// The engine on bursts of 32 in memory: everything but the driver. Cycles around process() alone;
// the frames are built before, so they are as warm as a driver's prefetch would have them.
//
// Nobody has verified a checksum (ChecksumHint::kUnknown) where a budget says that both are
// verified.
#include "synproxy/proxy/engine.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "median_cycles.h"
#include "support/packet_builder.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/segment.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr std::array<std::uint64_t, 4> kIndexKey{1, 0x9e3779b97f4a7c15ULL, 3,
                                                 0xdeadbeef12345678ULL};
constexpr std::size_t kRoom = 2048;
constexpr std::uint32_t kServerIsn = 0x90000000;
constexpr std::uint32_t kServerTs = 700'000;
constexpr std::uint32_t kRequest = 100;  // bytes
constexpr std::uint32_t kResponse = 1000;

// A frame whose connection is chosen by number; the checksum follows by an increment.
class Template {
 public:
  Template(const PacketBuilder& builder, bool from_client)
      : bytes_(builder.build()), from_client_(from_client) {}
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  void write(std::uint8_t* out, std::uint32_t n, std::uint32_t seq, std::uint32_t ack,
             std::uint32_t tsval, std::uint32_t tsecr) const {
    std::memcpy(out, bytes_.data(), bytes_.size());
    ChecksumUpdate ip;
    ChecksumUpdate tcp;
    const std::size_t client = from_client_ ? 26 : 30;
    put32(out + client, 0xc6000000U | n >> 14, ip, &tcp);  // 198.0.0.0/8
    const std::size_t port = 34 + (from_client_ ? 0 : 2);
    const auto before = load_raw<std::uint16_t>(out + port);
    store_be<std::uint16_t>(out + port, static_cast<std::uint16_t>(1024 + (n & 0x3fff)));
    tcp.replace16(before, load_raw<std::uint16_t>(out + port));
    put32(out + 38, seq, tcp);
    put32(out + 42, ack, tcp);
    if (bytes_.size() >= 66 && load_be<std::uint32_t>(out + 54) == 0x0101080aU) {
      put32(out + 58, tsval, tcp);
      put32(out + 62, tsecr, tcp);
    }
    ip.apply(out + 24);
    tcp.apply(out + 50);
  }

 private:
  static void put32(std::uint8_t* field, std::uint32_t v, ChecksumUpdate& a,
                    ChecksumUpdate* b = nullptr) {
    const auto before = load_raw<std::uint32_t>(field);
    store_be<std::uint32_t>(field, v);
    a.replace32(before, load_raw<std::uint32_t>(field));
    if (b != nullptr) b->replace32(before, load_raw<std::uint32_t>(field));
  }
  Bytes bytes_;
  bool from_client_;
};

PacketBuilder from_client() { return PacketBuilder().ipv4("198.51.100.7", "203.0.113.10"); }
PacketBuilder from_server() {
  return PacketBuilder().ipv4("203.0.113.10", "198.51.100.7").ports(80, 40000);
}

class Sink final : public FrameSink {
 public:
  void emit(Side, std::span<const std::uint8_t> frame) override { bytes += frame.size(); }
  std::uint64_t bytes = 0;
};

struct Cookie {
  std::uint32_t isn;
  std::uint32_t tsval;
};

// An engine with `flows` spliced connections, numbered from 0.
class Bed {
 public:
  explicit Bed(std::uint32_t max_flows)
      : protect_({parse_protect_rule("203.0.113.10:80")}),
        syn_(from_client().flags(kSyn).timestamps(1, 0).mss(1460).sack_permitted().window_scale(7),
             true),
        ack_(from_client().ack(0).timestamps(1, 0), true),
        syn_ack_(from_server()
                     .flags(kSyn | kAck)
                     .timestamps(1, 0)
                     .mss(1460)
                     .sack_permitted()
                     .window_scale(7),
                 false),
        fin_(from_client().flags(kFin | kAck).timestamps(1, 0), true),
        server_fin_(from_server().flags(kFin | kAck).timestamps(1, 0), false),
        server_ack_(from_server().ack(0).timestamps(1, 0), false),
        request_(from_client().ack(0).timestamps(1, 0).payload(Bytes(kRequest)), true),
        response_(from_server().ack(0).timestamps(1, 0).payload(Bytes(kResponse)), false),
        memory_(kMaxBurst * kRoom) {
    EngineConfig config;
    config.max_flows = max_flows;
    // As after the first connection: a server that is not known yet makes a forged ACK dearer.
    config.offer = {
        .sack = Offer::kOn, .timestamps = Offer::kOn, .ecn = Offer::kOn, .window_scale = 7};
    config.unix_ms_at_start = 64'000ULL * 26'562'500;
    for (std::uint64_t epoch = 26'562'499; epoch < 26'562'503; ++epoch) {
      ring_.publish({epoch, {epoch * 7, 11, 13}, {epoch * 17, 19, 23}});
    }
    engine_ = std::make_unique<Engine>(config, protect_, ring_, kIndexKey, counters_);
    for (std::size_t i = 0; i < kMaxBurst; ++i) {
      packets_[i].data = &memory_[i * kRoom];
      packets_[i].room = kRoom;
    }
  }

  [[nodiscard]] static std::uint32_t isn(std::uint32_t n) { return n * 2654435761U; }
  [[nodiscard]] const Template& syn() const { return syn_; }
  [[nodiscard]] const Template& ack() const { return ack_; }
  [[nodiscard]] const Template& syn_ack() const { return syn_ack_; }
  [[nodiscard]] const Template& fin() const { return fin_; }
  [[nodiscard]] const Template& server_fin() const { return server_fin_; }
  [[nodiscard]] const Template& server_ack() const { return server_ack_; }
  [[nodiscard]] const Template& request() const { return request_; }
  [[nodiscard]] const Template& response() const { return response_; }
  [[nodiscard]] Packet& packet(std::size_t i) { return packets_[i]; }
  [[nodiscard]] std::uint64_t count(Reason r) const { return counters_.get(r); }

  void fill(std::size_t i, const Template& t, std::uint32_t n, std::uint32_t seq, std::uint32_t ack,
            std::uint32_t tsval, std::uint32_t tsecr) {
    t.write(packets_[i].data, n, seq, ack, tsval, tsecr);
    packets_[i].length = static_cast<std::uint32_t>(t.size());
    packets_[i].checksum = ChecksumHint::kUnknown;
  }
  void process(Side side, std::size_t burst = kMaxBurst) {
    engine_->process(side, {packets_.data(), burst}, now_ms, sink_);
  }
  void tick() { engine_->tick(now_ms, sink_); }

  // SYN, ACK, SYN-ACK for `burst` connections at once.
  void open(std::uint32_t first, std::size_t burst) {
    for (std::uint32_t i = 0; i < burst; ++i) {
      fill(i, syn_, first + i, isn(first + i), 0, 1, 0);
    }
    process(Side::kClient, burst);
    std::array<Cookie, kMaxBurst> cookies;
    for (std::uint32_t i = 0; i < burst; ++i) cookies[i] = cookie_of(i);
    for (std::uint32_t i = 0; i < burst; ++i) {
      fill(i, ack_, first + i, isn(first + i) + 1, cookies[i].isn + 1, 2, cookies[i].tsval);
    }
    process(Side::kClient, burst);
    for (std::uint32_t i = 0; i < burst; ++i) {
      fill(i, syn_ack_, first + i, kServerIsn, isn(first + i) + 1, kServerTs, 2);
    }
    process(Side::kServer, burst);
    if (cookies_.size() < std::size_t{first} + burst) cookies_.resize(first + burst);
    std::copy_n(cookies.begin(), burst, cookies_.begin() + first);
  }
  [[nodiscard]] const Cookie& cookie(std::uint32_t n) const { return cookies_[n]; }
  // From the SYN-ACK that stands in packet i.
  [[nodiscard]] Cookie cookie_of(std::size_t i) const {
    Segment s;
    parse_frame(packets_[i].data, packets_[i].length, s);
    const TcpOptions o = parse_tcp_options(s.options(), s.options_size());
    return {s.seq.value(), o.tsval};
  }

  void open_all(std::uint32_t flows) {
    for (std::uint32_t n = 0; n < flows; n += kMaxBurst) {
      open(n, std::min<std::size_t>(kMaxBurst, flows - n));
    }
    if (count(Reason::conn_established) != flows) std::abort();
  }

  std::uint64_t now_ms = 1;

 private:
  ProtectSet protect_;
  KeyRing ring_;
  Counters counters_;
  std::unique_ptr<Engine> engine_;
  Sink sink_;
  Template syn_, ack_, syn_ack_, fin_, server_fin_, server_ack_, request_, response_;
  std::vector<std::uint8_t> memory_;
  std::array<Packet, kMaxBurst> packets_{};
  std::vector<Cookie> cookies_;
};

// A table of millions takes seconds to fill: kept for the next bench of the same size.
Bed& filled(std::uint32_t flows) {
  static std::unique_ptr<Bed> bed;
  static std::uint32_t size = 0;
  if (!bed || size != flows) {
    bed.reset();
    bed = std::make_unique<Bed>(flows);
    bed->open_all(flows);
    size = flows;
  }
  return *bed;
}

void syn(benchmark::State& state) {
  Bed bed(1024);
  MedianCycles cycles;
  std::uint32_t n = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t i = 0; i < kMaxBurst; ++i, ++n) bed.fill(i, bed.syn(), n, n * 31, 0, n, 0);
    cycles.start();
    bed.process(Side::kClient);
    cycles.stop();
  }
  if (bed.count(Reason::synack_sent) != n) state.SkipWithError("a SYN was not answered");
  cycles.report(state, "cycles/packet", kMaxBurst);
}
BENCHMARK(syn);

void forged_ack(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  Bed& bed = filled(flows);
  const std::uint64_t before = bed.count(Reason::cookie_invalid);
  std::mt19937 random(1);
  MedianCycles cycles;
  std::uint64_t sent = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t i = 0; i < kMaxBurst; ++i, ++sent) {
      const auto n =
          flows + static_cast<std::uint32_t>(random() % 0x7fffffffU) % (0x3f000000U - flows);
      bed.fill(i, bed.ack(), n, static_cast<std::uint32_t>(random()),
               static_cast<std::uint32_t>(random()), 1, static_cast<std::uint32_t>(random()));
    }
    cycles.start();
    bed.process(Side::kClient);
    cycles.stop();
  }
  if (bed.count(Reason::cookie_invalid) - before != sent) state.SkipWithError("an ACK got through");
  cycles.report(state, "cycles/packet", kMaxBurst);
}
BENCHMARK(forged_ack)->Arg(1'000'000);

// Random flows of the table, client to server or back.
void spliced(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  const bool to_server = state.range(1) != 0;
  Bed& bed = filled(flows);
  const std::uint64_t before = bed.count(Reason::translated);
  std::mt19937 random(2);
  MedianCycles cycles;
  std::uint64_t sent = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t i = 0; i < kMaxBurst; ++i, ++sent) {
      const auto n = static_cast<std::uint32_t>(random() % flows);
      const Cookie& c = bed.cookie(n);
      if (to_server) {
        bed.fill(i, bed.ack(), n, Bed::isn(n) + 1, c.isn + 1, 3, c.tsval);
      } else {
        bed.fill(i, bed.server_ack(), n, kServerIsn + 1, Bed::isn(n) + 1, kServerTs, 2);
      }
    }
    cycles.start();
    bed.process(to_server ? Side::kClient : Side::kServer);
    cycles.stop();
  }
  if (bed.count(Reason::translated) - before != sent) state.SkipWithError("a segment got lost");
  cycles.report(state, "cycles/packet", kMaxBurst);
}
BENCHMARK(spliced)
    ->ArgNames({"flows", "to_server"})
    ->Args({1'000'000, 1})
    ->Args({1'000'000, 0})
    ->Args({10'000'000, 1})
    ->Args({10'000'000, 0});

// SYN, ACK, SYN-ACK, request, its ACK, response, its ACK, FIN, FIN, ACK: ten packets in, for 32
// connections at a time, and a tick. The same addresses come back when the first ones have
// finished.
void short_connection(benchmark::State& state) {
  Bed bed(1U << 20);
  MedianCycles cycles;
  std::uint32_t first = 0;
  std::uint64_t connections = 0;
  for ([[maybe_unused]] auto _ : state) {
    std::uint64_t spent = 0;
    const auto step = [&](Side side) {
      const std::uint64_t begin = __rdtsc();
      bed.process(side);
      spent += __rdtsc() - begin;
    };
    const auto each = [&](auto&& f) {
      for (std::uint32_t i = 0; i < kMaxBurst; ++i) f(i, first + i);
    };
    std::array<Cookie, kMaxBurst> cookie;
    const auto isn = [](std::uint32_t n) { return Bed::isn(n); };
    each([&](auto i, auto n) { bed.fill(i, bed.syn(), n, isn(n), 0, 1, 0); });
    step(Side::kClient);
    each([&](auto i, auto) { cookie[i] = bed.cookie_of(i); });
    each([&](auto i, auto n) {
      bed.fill(i, bed.ack(), n, isn(n) + 1, cookie[i].isn + 1, 2, cookie[i].tsval);
    });
    step(Side::kClient);
    each([&](auto i, auto n) {
      bed.fill(i, bed.syn_ack(), n, kServerIsn, isn(n) + 1, kServerTs, 2);
    });
    step(Side::kServer);
    const auto up = [&](const Template& t, std::uint32_t seq, std::uint32_t ack) {
      each([&](auto i, auto n) {
        bed.fill(i, t, n, isn(n) + 1 + seq, cookie[i].isn + 1 + ack, 3, cookie[i].tsval);
      });
      step(Side::kClient);
    };
    const auto down = [&](const Template& t, std::uint32_t seq, std::uint32_t ack) {
      each([&](auto i, auto n) {
        bed.fill(i, t, n, kServerIsn + 1 + seq, isn(n) + 1 + ack, kServerTs + 1, 3);
      });
      step(Side::kServer);
    };
    up(bed.request(), 0, 0);
    down(bed.server_ack(), 0, kRequest);
    down(bed.response(), 0, kRequest);
    up(bed.ack(), kRequest, kResponse);
    up(bed.fin(), kRequest, kResponse);
    down(bed.server_fin(), kResponse, kRequest + 1);
    up(bed.ack(), kRequest + 1, kResponse + 1);
    ++bed.now_ms;
    const std::uint64_t begin = __rdtsc();
    bed.tick();
    spent += __rdtsc() - begin;
    cycles.add(spent);
    first = (first + kMaxBurst) & 0xfffffU;
    connections += kMaxBurst;
  }
  if (bed.count(Reason::conn_finished) != connections) state.SkipWithError("a connection hung");
  cycles.report(state, "cycles/connection", kMaxBurst);
}
BENCHMARK(short_connection);

}  // namespace
}  // namespace synproxy

BENCHMARK_MAIN();
