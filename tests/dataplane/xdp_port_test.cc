// SPDX-License-Identifier: BSD-3-Clause
// Linux interfaces as ports through AF_XDP, and how one changes hands.
#include "dataplane/xdp_port.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include "base/errors.h"
#include "dataplane/engine_stub.h"
#include "dataplane/pool.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/veth_pair.h"
#include "dataplane/wire_end.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::tests {
namespace {

using dataplane::Netdev;
using dataplane::XdpPort;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::uint32_t kMaxFrame = 1522;

Frame frame_of(std::size_t length, std::initializer_list<std::uint8_t> type = {0x08, 0x06}) {
  Frame f(length);
  for (std::size_t i = 0; i < length; ++i) f[i] = static_cast<std::uint8_t>(i * 7 + length);
  f[0] = 0x02;
  f[6] = 0x02;
  std::ranges::copy(type, f.begin() + 12);
  return f;
}

PortName xdp(const std::string& interface) {
  return {PortName::Kind::kXdp, "xdp:" + interface, interface};
}

bool has_program(const std::string& interface) {
  return ip("link show dev " + interface + " | grep -q xdp");
}

class XdpPortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!own_network_namespace()) GTEST_SKIP() << "needs root: no network namespace can be made";
  }
};

TEST_F(XdpPortTest, FramesOfEverySizePassBothWaysUntouched) {
  for (const unsigned mtu : {1500U, 3498U}) {
    const VethPair client_wire("xpc-near", "xpc-far", mtu);
    const VethPair server_wire("xps-near", "xps-far", mtu);
    WireEnd client("xpc-far");
    WireEnd server("xps-far");
    ProxyUnderTest proxy(xdp("xpc-near"), xdp("xps-near"));
    for (std::size_t length = 60; length <= mtu + 14; length += 97) {
      const Frame f = frame_of(length);
      ASSERT_TRUE(client.send(f));
      EXPECT_EQ(server.receive(), f) << length;
      ASSERT_TRUE(server.send(f));
      EXPECT_EQ(client.receive(), f) << length;
    }
    const Frame whole = frame_of(mtu + 14);
    const Frame tagged = frame_of(mtu + 18, {0x81, 0x00, 0x20, 0x05, 0x08, 0x06});
    for (const Frame& f : {whole, tagged}) {
      ASSERT_TRUE(client.send(f));
      EXPECT_EQ(server.receive(), f) << f.size();
    }
    EXPECT_TRUE(eventually([&] { return proxy->mbufs_in_use() == 0; }));
    EXPECT_EQ(proxy->port(PortId::kClient).driver, "xdp");
    EXPECT_EQ(proxy->port(PortId::kClient).mtu, mtu);
  }
}

TEST_F(XdpPortTest, MoreFramesThanARingPassInBothDirections) {
  const VethPair client_wire("xpc-near", "xpc-far");
  const VethPair server_wire("xps-near", "xps-far");
  WireEnd client("xpc-far");
  WireEnd server("xps-far");
  ProxyUnderTest proxy(xdp("xpc-near"), xdp("xps-near"), 2);
  for (unsigned i = 0; i < 10'000; ++i) {
    Frame f = frame_of(60);
    store_be<std::uint32_t>(&f[20], i);
    ASSERT_TRUE(client.send(f));
    ASSERT_EQ(server.receive(), f) << i;
  }
  EXPECT_TRUE(eventually([&] { return proxy->mbufs_in_use() == 0; }));
}

// One port on its own, without workers.
class XdpPortAlone : public XdpPortTest {
 protected:
  using Files = std::vector<Descriptor>;

  std::unique_ptr<XdpPort> make(Files files = {}, unsigned workers = 1) {
    return std::make_unique<XdpPort>(dataplane::XdpPortRequest{.typed = "xdp:xpa-near",
                                                               .who = "--client-port xdp:xpa-near",
                                                               .interface = "xpa-near",
                                                               .workers = workers,
                                                               .max_frame = kMaxFrame,
                                                               .old_kernel = old_kernel_},
                                     std::move(files), pool().get());
  }
  static dataplane::Pool& pool() {
    static_cast<void>(shared_eal());
    static dataplane::Pool pool("xdp_port_test", {.buffers = 8192, .data_room = 2176});
    return pool;
  }
  // As the kernel passes them to another process.
  static Files duplicates(const XdpPort& port) {
    Files all;
    for (const int fd : port.files()) all.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return all;
  }
  // The numbers in all frames that wait.
  std::vector<std::uint32_t> numbers(XdpPort& port) {
    std::vector<std::uint32_t> all;
    for (std::uint16_t q = 0; q < port.receive_queues(); ++q) {
      std::array<rte_mbuf*, kMaxBurst> burst;
      while (const std::uint16_t n = port.receive(q, burst.data(), kMaxBurst, io_)) {
        for (std::uint16_t i = 0; i < n; ++i) {
          all.push_back(
              load_be<std::uint32_t>(rte_pktmbuf_mtod_offset(burst[i], std::uint8_t*, 20)));
        }
        rte_pktmbuf_free_bulk(burst.data(), n);
      }
    }
    return all;
  }
  static Frame numbered(std::uint32_t number) {
    Frame f = frame_of(60);
    store_be<std::uint32_t>(&f[20], number);
    return f;
  }
  static unsigned send(XdpPort& port, std::uint32_t first, std::uint16_t n, unsigned worker = 0) {
    std::array<rte_mbuf*, kMaxBurst> burst;
    for (std::uint16_t i = 0; i < n; ++i) {
      burst[i] = rte_pktmbuf_alloc(pool().get());
      const Frame f = numbered(first + i);
      std::ranges::copy(f, rte_pktmbuf_mtod(burst[i], std::uint8_t*));
      burst[i]->data_len = static_cast<std::uint16_t>(f.size());
      burst[i]->pkt_len = burst[i]->data_len;
    }
    return port.transmit(worker, burst.data(), n).packets;
  }

  dataplane::IoCounters io_;
  bool old_kernel_ = false;
};

TEST_F(XdpPortAlone, ChangesHandsWithAllThatWaits) {
  const VethPair wire("xpa-near", "xpa-far");
  WireEnd far("xpa-far");
  auto port = make();
  EXPECT_FALSE(port->opens_without_rights());
  port->open();
  if (port->files().empty()) GTEST_SKIP() << "before Linux 6.4 rings are mapped only once";
  EXPECT_TRUE(port->opens_without_rights());
  EXPECT_FALSE(port->loads_programs());
  std::uint32_t number = 0;
  std::uint32_t expected = 0;
  for (unsigned turn = 0; turn < 40; ++turn) {
    auto next = make(duplicates(*port), 1 + turn % 2);
    // Some the old one has read, more come while it works, and while nobody does.
    for (unsigned i = 0; i < 40; ++i) ASSERT_TRUE(far.send(numbered(number++)));
    std::vector<std::uint32_t> got;
    EXPECT_TRUE(eventually([&] {
      std::ranges::copy(numbers(*port), std::back_inserter(got));
      return got.size() == 40;
    }));
    EXPECT_EQ(send(*port, 1000 * turn, 32), 32U);
    for (unsigned i = 0; i < 150; ++i) ASSERT_TRUE(far.send(numbered(number++)));
    port->close();
    for (unsigned i = 0; i < 50; ++i) ASSERT_TRUE(far.send(numbered(number++)));
    next->open();
    port = std::move(next);
    EXPECT_TRUE(eventually([&] {
      std::ranges::copy(numbers(*port), std::back_inserter(got));
      return got.size() == 240;
    }));
    for (const std::uint32_t n : got) ASSERT_EQ(n, expected++) << "turn " << turn;
    EXPECT_EQ(send(*port, 1000 * turn + 32, 32), 32U);
    for (std::uint32_t i = 0; i < 64; ++i) {
      ASSERT_EQ(far.receive(), numbered(1000 * turn + i)) << "turn " << turn;
    }
  }
  EXPECT_EQ(pool().in_use(), 0U);
  EXPECT_EQ(port->status().rx_missed, 0U);
}

TEST_F(XdpPortAlone, GoesBackToTheOneThatHadIt) {
  const VethPair wire("xpa-near", "xpa-far");
  WireEnd far("xpa-far");
  const auto port = make();
  port->open();
  if (port->files().empty()) GTEST_SKIP() << "before Linux 6.4 rings are mapped only once";
  for (std::uint32_t turn = 0; turn < 100; ++turn) {
    const auto next = make(duplicates(*port));
    port->close();
    ASSERT_TRUE(far.send(numbered(turn)));
    if (turn % 2 == 0) {  // the other one has begun, and ends without a word
      next->open();
      EXPECT_EQ(send(*next, turn, 32), 32U);
      EXPECT_TRUE(eventually([&] { return numbers(*next) == std::vector{turn}; }));
    }
    port->open();
    if (turn % 2 != 0) {
      EXPECT_TRUE(eventually([&] { return numbers(*port) == std::vector{turn}; }));
      EXPECT_EQ(send(*port, turn, 32), 32U);
    }
    for (std::uint32_t i = 0; i < 32; ++i) ASSERT_EQ(far.receive(), numbered(turn + i));
  }
}

TEST_F(XdpPortAlone, NothingStaysBehind) {
  const VethPair wire("xpa-near", "xpa-far");
  auto port = make();
  EXPECT_FALSE(has_program("xpa-near"));
  port->open();
  EXPECT_TRUE(has_program("xpa-near"));
  if (auto files = duplicates(*port); !files.empty()) {
    const auto next = make(std::move(files));
    port.reset();
    EXPECT_TRUE(has_program("xpa-near")) << "while somebody has it";
  }
  port.reset();
  EXPECT_FALSE(has_program("xpa-near"));
  EXPECT_FALSE(Netdev("xpa-near").facts()->promiscuous);
  const auto again = make();
  again->open();  // although the kernel lets go of the queue a moment later
}

TEST_F(XdpPortAlone, IsGivenUpAndOpenedAnewOnAnOldKernel) {
  const VethPair wire("xpa-near", "xpa-far");
  WireEnd far("xpa-far");
  old_kernel_ = true;
  const std::unique_ptr<XdpPort> ports[] = {make(), make()};
  for (unsigned turn = 0; turn < 6; ++turn) {
    XdpPort& port = *ports[turn % 2];
    port.open();
    EXPECT_TRUE(port.files().empty());
    EXPECT_TRUE(port.loads_programs());
    EXPECT_FALSE(port.opens_without_rights());
    ASSERT_TRUE(far.send(numbered(turn)));
    EXPECT_TRUE(eventually([&] { return numbers(port) == std::vector{turn}; }));
    EXPECT_EQ(send(port, turn, 1), 1U);
    EXPECT_EQ(far.receive(), numbered(turn));
    port.close();
    EXPECT_FALSE(has_program("xpa-near"));
  }
}

TEST_F(XdpPortAlone, EveryQueueIsServed) {
  ASSERT_TRUE(
      ip("link add xpa-near numrxqueues 3 numtxqueues 2 type veth peer name xpa-far "
         "numrxqueues 2 numtxqueues 3"));
  ASSERT_TRUE(ip("link set xpa-near up") && ip("link set xpa-far up"));
  WireEnd far("xpa-far");
  {
    const auto port = make({}, 3);
    port->open();
    EXPECT_EQ(port->receive_queues(), 3U);
    EXPECT_EQ(port->status().tx_queues, 2U);
    std::set<int> descriptors;
    for (std::uint16_t q = 0; q < 3; ++q) descriptors.insert(port->wait_descriptor(q));
    EXPECT_EQ(descriptors.size(), 3U);
    std::multiset<std::uint32_t> got;
    for (std::uint32_t i = 0; i < 300; ++i) {
      Frame f = numbered(i);
      f[30] = static_cast<std::uint8_t>(i);
      ASSERT_TRUE(far.send(f));
    }
    EXPECT_TRUE(eventually([&] {
      for (const std::uint32_t n : numbers(*port)) got.insert(n);
      return got.size() == 300;
    }));
    for (unsigned worker = 0; worker < 3; ++worker) {
      EXPECT_EQ(send(*port, worker, 1, worker), 1U);
      EXPECT_EQ(far.receive(), numbered(worker));
    }
  }
  EXPECT_TRUE(ip("link del xpa-near"));
}

TEST_F(XdpPortAlone, WhatAnotherProgramHasIsSaid) {
  const VethPair wire("xpa-near", "xpa-far");
  const auto first = make();
  first->open();
  EXPECT_THAT([&] { make()->open(); }, ThrowsMessage<RuntimeFailure>(HasSubstr(
                                           "--client-port xdp:xpa-near: another program has it")));
  // Files of an interface that is no more.
  auto files = duplicates(*first);
  wire.remove();
  wire.make();
  if (!files.empty()) {
    EXPECT_THROW(make(std::move(files)), std::system_error);
  }
  std::vector<std::string> lines;
  first->supervise(lines);
  EXPECT_THAT(lines.back(), HasSubstr("the interface is gone; restart the proxy"));
}

TEST_F(XdpPortAlone, FramesThatCannotBeSentAreNotCounted) {
  const VethPair wire("xpa-near", "xpa-far");
  const auto port = make();
  port->open();
  rte_mbuf* frames[3];
  for (rte_mbuf*& m : frames) {
    m = rte_pktmbuf_alloc(pool().get());
    m->data_len = 60;
    std::ranges::copy(frame_of(60), rte_pktmbuf_mtod(m, std::uint8_t*));
  }
  frames[0]->data_len = 13;
  frames[2]->data_len = 2049;
  const auto sent = port->transmit(0, frames, 3);
  EXPECT_EQ(sent.packets, 1U);
  EXPECT_EQ(sent.bytes, 60U);
  EXPECT_EQ(pool().in_use(), 0U);
}

}  // namespace
}  // namespace synproxy::tests
