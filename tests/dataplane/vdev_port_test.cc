// SPDX-License-Identifier: BSD-3-Clause
// DPDK's own devices as ports, over rings whose other ends the test holds.
#include <gtest/gtest.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <numeric>

#include "dataplane/engine_stub.h"
#include "dataplane/proxy_fixture.h"

namespace synproxy::tests {
namespace {

using engine_stub::Command;

constexpr unsigned kSlots = 1024;

// A port whose frames come from one ring and go into another.
class RingPort {
 public:
  explicit RingPort(const std::string& name) : name_("net_ring_" + name) {
    in_ = rte_ring_create(("in_" + name).c_str(), kSlots, SOCKET_ID_ANY, RING_F_EXACT_SZ);
    out_ = rte_ring_create(("out_" + name).c_str(), kSlots, SOCKET_ID_ANY, RING_F_EXACT_SZ);
    if (in_ == nullptr || out_ == nullptr ||
        rte_eth_from_rings(name.c_str(), &in_, 1, &out_, 1, 0) < 0) {
      throw std::runtime_error("no ring port");
    }
  }
  ~RingPort() {
    rte_ring_free(in_);
    rte_ring_free(out_);
  }
  RingPort(const RingPort&) = delete;
  RingPort& operator=(const RingPort&) = delete;

  [[nodiscard]] PortName port() const { return vdev(name_); }
  [[nodiscard]] bool put(rte_mbuf* m) const { return rte_ring_enqueue(in_, m) == 0; }
  [[nodiscard]] rte_mbuf* get() const {
    void* m = nullptr;
    return eventually([&] { return rte_ring_dequeue(out_, &m) == 0; }) ? static_cast<rte_mbuf*>(m)
                                                                       : nullptr;
  }
  [[nodiscard]] unsigned waiting() const { return rte_ring_count(out_); }

 private:
  std::string name_;
  rte_ring* in_ = nullptr;
  rte_ring* out_ = nullptr;
};

class VdevPort : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { static_cast<void>(shared_eal()); }

  void SetUp() override {
    pool_ = rte_pktmbuf_pool_create("test", 4096, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
  }

  // Splits the frame into as many segments as it needs.
  rte_mbuf* buffer(const std::vector<std::uint8_t>& bytes) {
    rte_mbuf* head = nullptr;
    for (std::size_t at = 0; at < bytes.size(); at += 2048) {
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      const auto n = static_cast<std::uint16_t>(std::min<std::size_t>(2048, bytes.size() - at));
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), n,
                  rte_pktmbuf_mtod(m, std::uint8_t*));
      m->data_len = n;
      m->pkt_len = n;
      if (head == nullptr) {
        head = m;
      } else {
        EXPECT_EQ(rte_pktmbuf_chain(head, m), 0);
      }
    }
    return head;
  }
  static std::vector<std::uint8_t> take_bytes(rte_mbuf* m) {
    if (m == nullptr) return {};
    std::vector<std::uint8_t> bytes(m->pkt_len);
    const void* p = rte_pktmbuf_read(m, 0, m->pkt_len, bytes.data());
    if (p != bytes.data()) std::memcpy(bytes.data(), p, bytes.size());
    rte_pktmbuf_free(m);
    return bytes;
  }
  static std::vector<std::uint8_t> command(Command c, unsigned number = 0, unsigned owner = 0) {
    std::vector<std::uint8_t> f(engine_stub::kMinBytes);
    f[12] = engine_stub::kEtherType >> 8;
    f[13] = engine_stub::kEtherType & 0xff;
    f[engine_stub::kCommandAt] = static_cast<std::uint8_t>(c);
    f[engine_stub::kOwnerAt] = static_cast<std::uint8_t>(owner);
    f[engine_stub::kNumberAt] = static_cast<std::uint8_t>(number);
    return f;
  }

  rte_mempool* pool_ = nullptr;
};

TEST_F(VdevPort, FramesOfEverySizePassUntouched) {
  RingPort client("c1");
  RingPort server("s1");
  ProxyUnderTest proxy(client.port(), server.port());
  for (const std::size_t length : {60U, 61U, 64U, 128U, 1514U, 1518U, 2047U, 2048U}) {
    std::vector<std::uint8_t> f(length);
    std::iota(f.begin(), f.end(), std::uint8_t{1});
    ASSERT_TRUE(client.put(buffer(f)));
    EXPECT_EQ(take_bytes(server.get()), f) << length;
    ASSERT_TRUE(server.put(buffer(f)));
    EXPECT_EQ(take_bytes(client.get()), f) << length;
  }
}

// The engine sees only contiguous bytes.
TEST_F(VdevPort, FrameInSeveralSegmentsIsCountedWhenItCannotBeMadeOne) {
  RingPort client("c2");
  RingPort server("s2");
  ProxyUnderTest proxy(client.port(), server.port());
  ASSERT_TRUE(client.put(buffer(std::vector<std::uint8_t>(9018, 7))));
  EXPECT_TRUE(eventually([&] { return proxy->port(PortId::kClient).rx_oversize == 1; }));
  EXPECT_EQ(server.waiting(), 0U);
}

TEST_F(VdevPort, TagThatADeviceHasCutOutIsBackAndCounted) {
  RingPort client("c10");
  RingPort server("s10");
  ProxyUnderTest proxy(client.port(), server.port());
  std::vector<std::uint8_t> f(60);
  std::iota(f.begin(), f.end(), std::uint8_t{1});
  rte_mbuf* m = buffer(f);
  m->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  m->vlan_tci = 0x6005;
  ASSERT_TRUE(server.put(m));
  const std::array<std::uint8_t, 4> tag{0x81, 0x00, 0x60, 0x05};
  f.insert(f.begin() + 12, tag.begin(), tag.end());
  EXPECT_EQ(take_bytes(client.get()), f);
  EXPECT_TRUE(eventually([&] { return proxy->io(0).tx_bytes[0].get() == f.size(); }));
  EXPECT_EQ(proxy->io(0).rx_tag_restored[1].get(), 1U);
  EXPECT_EQ(proxy->io(0).rx_tag_restored[0].get(), 0U);
}

TEST_F(VdevPort, VerdictsAreCarriedOutInOrderAndEverythingIsCounted) {
  RingPort client("c3");
  RingPort server("s3");
  ProxyUnderTest proxy(client.port(), server.port());
  ASSERT_TRUE(client.put(buffer(command(Command::kDrop))));
  ASSERT_TRUE(client.put(buffer(command(Command::kReply))));
  EXPECT_EQ(take_bytes(client.get()), command(Command::kReply));
  auto grown = command(Command::kGrow);
  ASSERT_TRUE(client.put(buffer(grown)));
  grown.resize(grown.size() + engine_stub::kGrowth, engine_stub::kGrowthFill);
  EXPECT_EQ(take_bytes(client.get()), grown);
  ASSERT_TRUE(client.put(buffer(command(Command::kEmit))));
  EXPECT_EQ(take_bytes(server.get()), command(Command::kEmit));
  for (unsigned i = 0; i < engine_stub::kEmitted; ++i) {
    EXPECT_EQ(take_bytes(server.get()), command(Command::kForward, i)) << i;
  }
  const auto& io = proxy->io(0);
  EXPECT_EQ(io.rx_packets[0].get(), 4U);
  EXPECT_EQ(io.tx_packets[0].get(), 2U);
  EXPECT_EQ(io.tx_packets[1].get(), 1U + engine_stub::kEmitted);
  EXPECT_EQ(io.tx_bytes[0].get(), 2 * engine_stub::kMinBytes + engine_stub::kGrowth);
  EXPECT_EQ(proxy->mbufs_in_use(), 0U);
}

TEST_F(VdevPort, FullTransmitRingDropsAndCounts) {
  RingPort client("c4");
  RingPort server("s4");
  ProxyUnderTest proxy(client.port(), server.port());
  constexpr unsigned kFrames = kSlots + 100;
  for (unsigned i = 0; i < kFrames; ++i) {
    rte_mbuf* m = buffer(command(Command::kForward));
    ASSERT_TRUE(eventually([&] { return client.put(m); }));
  }
  const auto& io = proxy->io(0);
  ASSERT_TRUE(
      eventually([&] { return io.tx_packets[1].get() + io.tx_dropped[1].get() == kFrames; }));
  EXPECT_EQ(io.tx_packets[1].get(), kSlots);
  EXPECT_EQ(io.tx_dropped[1].get(), 100U);
  EXPECT_EQ(io.tx_bytes[1].get(), kSlots * engine_stub::kMinBytes);
  for (unsigned i = 0; i < kSlots; ++i) rte_pktmbuf_free(server.get());
}

TEST_F(VdevPort, MostlyBadChecksumsAreReportedOnce) {
  RingPort client("c9");
  RingPort server("s9");
  ProxyUnderTest proxy(client.port(), server.port());
  const auto send = [&](Command c, unsigned frames) {
    const std::uint64_t before = proxy->io(0).rx_packets[0].get();
    for (unsigned i = 0; i < frames; ++i) EXPECT_TRUE(client.put(buffer(command(c))));
    EXPECT_TRUE(eventually([&] { return proxy->io(0).rx_packets[0].get() == before + frames; }));
    // The engine counts a frame shortly after its arrival; once a later frame has come back, it has
    // counted.
    EXPECT_TRUE(client.put(buffer(command(Command::kReply))));
    rte_pktmbuf_free(client.get());
  };
  send(Command::kBad, 10);
  EXPECT_TRUE(proxy->supervise().empty()) << "few";
  send(Command::kBad, 40);
  send(Command::kDrop, 60);
  EXPECT_TRUE(proxy->supervise().empty()) << "not most of them";
  send(Command::kBad, 40);
  const auto lines = proxy->supervise();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("ethtool -K"), std::string::npos) << lines[0];
  send(Command::kBad, 40);
  EXPECT_TRUE(proxy->supervise().empty()) << "said once";
}

TEST_F(VdevPort, TimersTickWithoutTraffic) {
  RingPort client("c5");
  RingPort server("s5");
  ProxyUnderTest proxy(client.port(), server.port());
  EXPECT_TRUE(eventually([&] { return proxy->counters(0).get(Reason::keepalive_probe) >= 5; }));
}

TEST_F(VdevPort, TwoWorkersHandOverInOrderAndAccountForEveryFrame) {
  RingPort client("c6");
  RingPort server("s6");
  ProxyUnderTest proxy(client.port(), server.port(), 2);
  constexpr unsigned kFrames = 500;
  for (unsigned i = 0; i < kFrames; ++i) {
    ASSERT_TRUE(client.put(buffer(command(Command::kForward, i, i % 2))));
  }
  // Each owner's frames keep their order; the two may mix in any way.
  unsigned next[2] = {0, 1};
  for (unsigned i = 0; i < kFrames; ++i) {
    const auto got = take_bytes(server.get());
    ASSERT_EQ(got.size(), engine_stub::kMinBytes);
    const unsigned owner = got[engine_stub::kOwnerAt];
    EXPECT_EQ(got[engine_stub::kNumberAt], next[owner] % 256);
    next[owner] += 2;
  }
  EXPECT_EQ(proxy->counters(0).get(Reason::forwarded), kFrames / 2);
  EXPECT_EQ(proxy->counters(1).get(Reason::forwarded), kFrames / 2);
  EXPECT_EQ(proxy.sum([](const auto& io) { return io.handed_over.get(); }), kFrames / 2);
  EXPECT_EQ(proxy.sum([](const auto& io) { return io.hand_over_full.get(); }), 0U);
  EXPECT_EQ(proxy.sum([](const auto& io) { return io.tx_packets[1].get(); }), kFrames);
}

TEST_F(VdevPort, StoppedAndStartedAgainItGoesOn) {
  RingPort client("c7");
  RingPort server("s7");
  ProxyUnderTest proxy(client.port(), server.port(), 2);
  proxy->stop();
  ASSERT_TRUE(client.put(buffer(command(Command::kForward, 9, 1))));
  EXPECT_EQ(server.waiting(), 0U);
  proxy->start();
  EXPECT_EQ(take_bytes(server.get()), command(Command::kForward, 9, 1));
}

TEST_F(VdevPort, StopEmptiesTheRingsBetweenWorkers) {
  RingPort client("c8");
  RingPort server("s8");
  ProxyUnderTest proxy(client.port(), server.port(), 2);
  for (unsigned i = 0; i < 900; ++i) {
    ASSERT_TRUE(client.put(buffer(command(Command::kDrop, i, i % 2))));
  }
  ASSERT_TRUE(eventually([&] { return proxy->io(0).rx_packets[0].get() > 0; }));
  proxy->stop();
  // Frames that the workers had not fetched yet still belong to the test.
  proxy->start();
  ASSERT_TRUE(eventually([&] { return proxy->io(0).rx_packets[0].get() == 900; }));
  proxy->stop();
  EXPECT_EQ(proxy->mbufs_in_use(), 0U);
}

TEST_F(VdevPort, DeviceOfAVdevStringIsMadeAndEndsWithItsPort) {
  for (int i = 0; i < 2; ++i) {
    const PortName again = vdev("net_null_again,size=64");
    ProxyUnderTest proxy(again, vdev("net_null_sink"));
    EXPECT_TRUE(eventually([&] { return proxy->io(0).tx_packets[1].get() > 1000; }));
    EXPECT_EQ(proxy->port(PortId::kClient).name, again.text);
  }
  EXPECT_EQ(rte_eth_dev_count_avail(), 0);
}

TEST_F(VdevPort, OfAPredecessorIsOpenedWhenThatOneHasClosedIt) {
  Config config;
  config.client_port = vdev("net_null_late,size=64");
  config.server_port = vdev("net_null_later");
  config.workers = {0};
  const ProtectSet protect({parse_protect_rule("203.0.113.10:80")});
  const KeyRing keys;
  const dataplane::Predecessor predecessor{
      .identity = {},
      .stop = [] { ADD_FAILURE() << "its queues are known before it is open"; },
      .files = [](PortId) { return std::vector<Descriptor>(); }};
  dataplane::Dataplane proxy(config, protect, keys, nullptr, &predecessor);
  const auto moves = [&] {
    const std::uint64_t before = proxy.io(0).tx_packets[1].get();
    proxy.start();
    EXPECT_TRUE(eventually([&] { return proxy.io(0).tx_packets[1].get() > before + 1000; }));
    proxy.stop();
  };
  const auto expect_closed = [&] {
    EXPECT_EQ(rte_eth_dev_count_avail(), 0);
    EXPECT_FALSE(proxy.all_open());
    EXPECT_FALSE(proxy.has_link(PortId::kClient));
    EXPECT_EQ(proxy.port(PortId::kClient).name, config.client_port.text);
    EXPECT_TRUE(proxy.supervise().empty()) << "that it has no link is no news";
  };
  expect_closed();
  proxy.open_beside();
  expect_closed();
  for (int i = 0; i < 2; ++i) {
    proxy.open_all();
    EXPECT_TRUE(proxy.all_open());
    EXPECT_TRUE(proxy.has_link(PortId::kClient));
    EXPECT_EQ(proxy.mbufs_in_use(), 0U);
    moves();
    proxy.close_alone();
    expect_closed();
  }
}

}  // namespace
}  // namespace synproxy::tests
