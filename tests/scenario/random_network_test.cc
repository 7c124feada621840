// SPDX-License-Identifier: BSD-3-Clause
// Whole connections between two TCP ends over links that drop, duplicate, delay and reorder by
// seed.
//
// A failing seed is printed; SYNPROXY_SEED=<n> runs that one alone, SYNPROXY_SEEDS=<n> another
// number.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <queue>
#include <random>

#include "support/proxy_harness.h"
#include "support/toy_tcp.h"

namespace synproxy {
namespace {

using namespace test;

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::uint32_t operator()(std::uint32_t n) { return static_cast<std::uint32_t>(engine_() % n); }
  bool chance(std::uint32_t percent) { return (*this)(100) < percent; }
  std::uint32_t word() {
    // Near the wrap as often as anywhere else.
    return chance(50) ? static_cast<std::uint32_t>(engine_()) : 0U - (*this)(20'000);
  }

 private:
  std::mt19937_64 engine_;
};

// One direction of one link.
struct Link {
  std::uint32_t drop = 0;       // percent
  std::uint32_t duplicate = 0;  // percent
  std::uint32_t delay = 0;      // milliseconds
  std::uint32_t jitter = 0;
};

struct Flight {
  std::uint64_t at;
  std::uint64_t order;
  Side side;      // of the proxy
  bool to_proxy;  // or to the end on that side
  Bytes frame;
  bool operator<(const Flight& b) const { return at != b.at ? at > b.at : order > b.order; }
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : dice_(seed), proxy_(options()) {
    for (auto& side : links_) {
      for (Link& l : side) {
        l.drop = dice_.chance(30) ? 0 : dice_(10);
        l.duplicate = dice_.chance(50) ? 0 : dice_(10);
        l.delay = dice_(40);
        l.jitter = dice_.chance(40) ? 0 : dice_(60);
      }
    }
  }

  // The same addresses and ports again and again: every connection but the first one is a reuse.
  void run() {
    const unsigned connections = 1 + dice_(3);
    shape();
    for (unsigned i = 0; i < connections && !::testing::Test::HasFailure(); ++i) {
      connection();
      // Without timestamps nothing protects a connection from late segments of the one before.
      if (!client_.timestamps || dice_.chance(50)) drain();
    }
    if (::testing::Test::HasFailure()) return;
    drain();
    proxy_.to_client.clear();
    proxy_.to_server.clear();
    proxy_.advance(75'000);
    EXPECT_EQ(proxy_.flows(), 0U);
    EXPECT_EQ(proxy_.early_buffers(), 0U);
    proxy_.check_accounts();
    EXPECT_EQ(proxy_.count(Reason::bad_checksum), 0U);
    EXPECT_EQ(proxy_.count(Reason::bad_options), 0U);
  }

 private:
  HarnessOptions options() {
    HarnessOptions h;
    h.engine.server_timeout_ms = 120'000;
    h.engine.early_window = dice_.chance(80) ? 14'600 : (dice_.chance(50) ? 0 : 1 + dice_(3000));
    h.engine.epoch_ms = dice_.chance(50) ? 64'000 : 8'000;  // rotations in the middle of it
    return h;
  }

  void shape() {
    const bool ipv6 = dice_.chance(40);
    client_.address = ipv6 ? "2001:db8:1::7" : "198.51.100.7";
    client_.peer = ipv6 ? "2001:db8::10" : "203.0.113.10";
    client_.port = static_cast<std::uint16_t>(1024 + dice_(60'000));
    client_.peer_port = 80;
    client_.mac = kClientMac;
    client_.peer_mac = kServerMac;
    const unsigned tags = dice_(3);
    for (unsigned i = 0; i < tags; ++i) {
      client_.tags.push_back({static_cast<std::uint16_t>(dice_(4096)),
                              static_cast<std::uint16_t>(i == 0 && tags == 2 ? 0x88a8 : 0x8100)});
    }
    client_.timestamps = dice_.chance(60);
    client_.sack = dice_.chance(70);
    client_.scale = scale();
    client_.mss = static_cast<std::uint16_t>(600 + dice_(860));
    client_.ts_base = dice_.word();
    server_ = client_;
    std::swap(server_.address, server_.peer);
    std::swap(server_.port, server_.peer_port);
    std::swap(server_.mac, server_.peer_mac);
    server_.timestamps = true;
    server_.sack = dice_.chance(85);
    server_.scale = scale();
    server_.mss = 1460;
    server_.ts_base = dice_.word();
  }

  std::optional<std::uint8_t> scale() {
    if (dice_.chance(20)) return std::nullopt;
    return static_cast<std::uint8_t>(dice_.chance(50) ? 7 : dice_(15));
  }

  Bytes random_bytes(std::size_t n) {
    Bytes b(n);
    for (auto& x : b) x = static_cast<std::uint8_t>(dice_(256));
    return b;
  }

  void connection() {
    client_.isn = dice_.word();
    server_.isn = dice_.word();
    client_.buffer = 3'000 + dice_(100'000);
    server_.buffer = dice_.chance(70) ? 15'000 + dice_(100'000) : 1'000 + dice_(20'000);
    // An end that cannot say how little room it has left chose the wrong scale.
    for (ToyTcpOptions* o : {&client_, &server_}) {
      o->buffer = std::max(o->buffer, 4U << o->scale.value_or(0));
    }
    // A window below the unit of the offered scale is rounded up, and the proxy offers its own
    // before it knows the server's: then the client may send what the server will not take.
    server_.window_slack = server_.buffer >= 14'600 ? 128 : 14'600;
    client_.segment = 1 + dice_(1'300);
    server_.segment = 1 + dice_(1'300);
    a_ = std::make_unique<ToyTcp>(client_);
    b_ = std::make_unique<ToyTcp>(server_);
    const Bytes request =
        random_bytes(dice_.chance(20) ? 0 : dice_(dice_.chance(50) ? 300 : 30'000));
    const Bytes answer =
        random_bytes(dice_.chance(20) ? 0 : dice_(dice_.chance(50) ? 300 : 30'000));
    // Some speak at once, some wait: then the other side speaks first, or neither does for a while.
    const std::uint64_t start = proxy_.now();
    std::uint64_t client_speaks = start + (dice_.chance(60) ? 0 : dice_(2'000));
    std::uint64_t server_speaks = start + (dice_.chance(40) ? 0 : dice_(2'000));
    a_->connect(start);
    while (!(a_->done() && b_->done())) {
      if (proxy_.now() >= client_speaks) {
        a_->write(request);
        a_->close();
        client_speaks = ~0ULL;
      }
      if (proxy_.now() >= server_speaks) {
        b_->write(answer);
        b_->close();
        server_speaks = ~0ULL;
      }
      step();
      if (a_->reset || b_->reset || !a_->violation.empty() || !b_->violation.empty() ||
          proxy_.now() > start + 600'000) {
        break;
      }
    }
    EXPECT_EQ(a_->violation, "");
    EXPECT_EQ(b_->violation, "");
    EXPECT_FALSE(a_->reset) << "the client was reset";
    EXPECT_FALSE(b_->reset) << "the server was reset";
    EXPECT_TRUE(a_->done() && b_->done()) << "the connection hangs";
    EXPECT_TRUE(b_->received == request) << b_->received.size() << " of " << request.size();
    EXPECT_TRUE(a_->received == answer) << a_->received.size() << " of " << answer.size();
  }

  void drain() {
    while (!flights_.empty()) step();
  }

  void launch(Side side, bool to_proxy, const Bytes& frame) {
    const Link& l = links_[side == Side::kClient ? 0 : 1][to_proxy ? 0 : 1];
    if (dice_.chance(l.drop)) return;
    const unsigned copies = dice_.chance(l.duplicate) ? 2 : 1;
    for (unsigned i = 0; i < copies; ++i) {
      const std::uint64_t at = proxy_.now() + 1 + l.delay + (l.jitter != 0 ? dice_(l.jitter) : 0);
      flights_.push({at, order_++, side, to_proxy, frame});
    }
  }

  // One millisecond.
  void step() {
    proxy_.advance(1);
    const std::uint64_t now = proxy_.now();
    while (!flights_.empty() && flights_.top().at <= now) {
      const Flight f = flights_.top();
      flights_.pop();
      const auto d = decode(f.frame);
      if (trace_ && d) {
        const char* end = f.side == Side::kClient ? "client" : "server";
        std::printf("%8llu %s %s %s\n", static_cast<unsigned long long>(now), end,
                    f.to_proxy ? "sent" : "gets", d->to_string().c_str());
      }
      if (f.to_proxy) {
        proxy_.feed(f.side, f.frame);
      } else if (d) {
        (f.side == Side::kClient ? a_ : b_)->receive(*d, now);
      }
    }
    a_->tick(now);
    b_->tick(now);
    if (dice_.chance(10)) a_->read(now);
    if (dice_.chance(10)) b_->read(now);
    for (; !a_->out.empty(); a_->out.pop_front()) launch(Side::kClient, true, a_->out.front());
    for (; !b_->out.empty(); b_->out.pop_front()) launch(Side::kServer, true, b_->out.front());
    for (; !proxy_.to_client.empty(); proxy_.to_client.pop_front()) {
      launch(Side::kClient, false, proxy_.to_client.front());
    }
    for (; !proxy_.to_server.empty(); proxy_.to_server.pop_front()) {
      launch(Side::kServer, false, proxy_.to_server.front());
    }
  }

  Dice dice_;
  ProxyHarness proxy_;
  std::array<std::array<Link, 2>, 2> links_;
  ToyTcpOptions client_;
  ToyTcpOptions server_;
  std::unique_ptr<ToyTcp> a_;
  std::unique_ptr<ToyTcp> b_;
  std::priority_queue<Flight> flights_;
  std::uint64_t order_ = 0;
  bool trace_ = std::getenv("SYNPROXY_TRACE") != nullptr;  // NOLINT(concurrency-mt-unsafe)
};

#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kSeeds = 300;  // ten times slower
#else
constexpr std::uint64_t kSeeds = 3000;
#endif

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(RandomNetwork, EveryByteArrivesOnceAndInOrder) {
  const std::uint64_t one = from_environment("SYNPROXY_SEED", 0);
  const std::uint64_t first = one != 0 ? one : 1;
  const std::uint64_t last = one != 0 ? one : from_environment("SYNPROXY_SEEDS", kSeeds);
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("SYNPROXY_SEED=" + std::to_string(seed));
    Simulation(seed).run();
    if (HasFailure()) {
      std::printf("failed with SYNPROXY_SEED=%llu\n", static_cast<unsigned long long>(seed));
      return;
    }
  }
}

}  // namespace
}  // namespace synproxy
