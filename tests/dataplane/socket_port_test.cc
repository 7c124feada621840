// SPDX-License-Identifier: BSD-3-Clause
// Linux interfaces as ports: a frame leaves by one wire as it came by the other.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <net/if.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "dataplane/engine_stub.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/veth_pair.h"
#include "dataplane/wire_end.h"
#include "support/packet_builder.h"
#include "support/super_frames.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::tests {
namespace {

using engine_stub::Command;

constexpr std::size_t kMacBytes = 12;

Frame frame_of(std::size_t length, std::initializer_list<std::uint8_t> type) {
  Frame f(length);
  for (std::size_t i = 0; i < length; ++i) f[i] = static_cast<std::uint8_t>(i * 7 + length);
  f[0] = 0x02;  // unicast, locally administered
  f[6] = 0x02;
  std::ranges::copy(type, f.begin() + kMacBytes);
  return f;
}

Frame command(Command c, std::size_t length = engine_stub::kMinBytes) {
  Frame f = frame_of(length, {engine_stub::kEtherType >> 8, engine_stub::kEtherType & 0xff});
  f[engine_stub::kCommandAt] = static_cast<std::uint8_t>(c);
  f[engine_stub::kOwnerAt] = 0;
  return f;
}

// A worker gives a buffer back shortly after the frame has left.
bool returns_all(ProxyUnderTest& proxy) {
  return eventually([&] { return proxy->mbufs_in_use() == 0; });
}

class SocketPort : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!own_network_namespace()) GTEST_SKIP() << "needs root: no network namespace can be made";
  }

  struct Lab {
    explicit Lab(unsigned mtu = 1500, unsigned workers = 1)
        : client_wire("spc-near", "spc-far", mtu),
          server_wire("sps-near", "sps-far", mtu),
          client(client_wire.far()),
          server(server_wire.far()),
          proxy(raw(client_wire.near()), raw(server_wire.near()), workers) {}

    VethPair client_wire;
    VethPair server_wire;
    WireEnd client;
    WireEnd server;
    ProxyUnderTest proxy;
  };
};

TEST_F(SocketPort, FramesOfEverySizePassBothWaysUntouched) {
  Lab lab;
  for (std::size_t length = 60; length <= 1514; length += 97) {
    const Frame f = frame_of(length, {0x08, 0x06});
    ASSERT_TRUE(lab.client.send(f));
    EXPECT_EQ(lab.server.receive(), f) << length;
    ASSERT_TRUE(lab.server.send(f));
    EXPECT_EQ(lab.client.receive(), f) << length;
  }
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, ClientsSynsComeByARingOfTheirOwn) {
  Lab lab;
  EXPECT_EQ(lab.proxy->port(PortId::kClient).syn_queues, 1U);
  EXPECT_EQ(lab.proxy->port(PortId::kServer).syn_queues, 0U);
  for (const std::uint16_t flags : {kSyn, kAck}) {
    for (const char* to : {"203.0.113.10", "203.0.113.11"}) {
      const Frame f =
          test::PacketBuilder().ipv4("198.51.100.7", to).ports(4000, 80).flags(flags).build();
      ASSERT_TRUE(lab.client.send(f));
      EXPECT_EQ(lab.server.receive(), f) << to;
    }
  }
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, JumboFramesPassWhole) {
  Lab lab(9000);
  for (const std::size_t length : {1515U, 2048U, 4096U, 9014U}) {
    const Frame f = frame_of(length, {0x08, 0x06});
    ASSERT_TRUE(lab.client.send(f));
    EXPECT_EQ(lab.server.receive(), f) << length;
  }
  const Frame tagged = frame_of(9018, {0x81, 0x00, 0x20, 0x05, 0x08, 0x06});
  ASSERT_TRUE(lab.client.send(tagged));
  EXPECT_EQ(lab.server.receive(), tagged);
}

TEST_F(SocketPort, TagsComeOutAsTheyWentIn) {
  Lab lab;
  const std::vector<std::vector<std::uint8_t>> stacks = {
      {0x81, 0x00, 0xe1, 0x23},                          // 802.1Q with priority 7
      {0x81, 0x00, 0x00, 0x00},                          // priority tag, VID 0, all bits zero
      {0x88, 0xa8, 0x30, 0x07},                          // 802.1ad
      {0x88, 0xa8, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x14},  // QinQ
      {0x81, 0x00, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x14},  // stacked customer tags
  };
  for (const auto& stack : stacks) {
    for (const std::size_t length : {64U, 700U, 1500U}) {
      Frame f = frame_of(length, {});
      std::ranges::copy(stack, f.begin() + kMacBytes);
      store_be<std::uint16_t>(&f[kMacBytes + stack.size()], 0x0806);
      ASSERT_TRUE(lab.client.send(f));
      EXPECT_EQ(lab.server.receive(), f);
    }
  }
}

TEST_F(SocketPort, FragmentsAreNotReassembled) {
  Lab lab;
  // Three pieces of one UDP datagram.
  for (const std::uint16_t fragment :
       std::initializer_list<std::uint16_t>{0x2000, 0x20b9, 0x0172}) {
    Frame f = frame_of(1514, {0x08, 0x00, 0x45, 0x00});
    store_be<std::uint16_t>(&f[16], 1500);
    store_be<std::uint16_t>(&f[18], 77);  // identification
    store_be<std::uint16_t>(&f[20], fragment);
    f[22] = 64;
    f[23] = 17;
    ASSERT_TRUE(lab.client.send(f));
    EXPECT_EQ(lab.server.receive(), f);
  }
}

// The one's complement sum of RFC 1071, a byte pair at a time.
std::uint16_t ones_sum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    sum += load_be<std::uint16_t>(&bytes[i]);
  }
  if (bytes.size() % 2 != 0) sum += static_cast<std::uint32_t>(bytes.back()) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

TEST_F(SocketPort, ChecksumLeftToTheSendersCardIsCompletedAndReported) {
  Lab lab;
  for (const std::size_t tag : {0U, 4U}) {
    for (const std::size_t length : {91U, 1400U}) {
      Frame f = frame_of(length + tag, {});
      const std::size_t ip = 14 + tag;
      if (tag != 0) std::ranges::copy(Frame{0x81, 0x00, 0x00, 0x05}, f.begin() + kMacBytes);
      store_be<std::uint16_t>(&f[ip - 2], 0x0800);
      f[ip] = 0x45;
      store_be<std::uint16_t>(&f[ip + 2], static_cast<std::uint16_t>(length - 14));
      store_be<std::uint16_t>(&f[ip + 6], 0x4000);
      f[ip + 9] = 17;
      const std::size_t udp = ip + 20;
      const auto udp_bytes = static_cast<std::uint16_t>(length - 34);
      store_be<std::uint16_t>(&f[udp + 4], udp_bytes);
      const std::uint16_t pseudo = ones_sum({&f[ip + 12], 8}, 17U + udp_bytes);
      store_be<std::uint16_t>(&f[udp + 6], pseudo);
      ASSERT_TRUE(lab.client.send_unsummed(f, static_cast<std::uint16_t>(udp), 6));
      auto got = lab.server.receive();
      ASSERT_TRUE(got);
      // With a right checksum, the sum over pseudo-header and datagram is all ones.
      EXPECT_EQ(ones_sum({&(*got)[udp], udp_bytes}, pseudo), 0xffff);
      // Nothing else has changed.
      std::ranges::copy_n(f.begin() + static_cast<std::ptrdiff_t>(udp) + 6, 2,
                          got->begin() + static_cast<std::ptrdiff_t>(udp) + 6);
      EXPECT_EQ(*got, f);
    }
  }
  EXPECT_EQ(lab.proxy->io(0).rx_checksum_missing[0].get(), 4U);
  EXPECT_EQ(lab.proxy->io(0).rx_checksum_missing[1].get(), 0U);
  EXPECT_TRUE(lab.proxy->supervise().empty());
}

// Sends one from the client.
bool send_long(WireEnd& end, const test::LongSegment& s, std::uint16_t size = 1400) {
  return end.send_super(s.super_frame(), s.ipv6, size,
                        static_cast<std::uint16_t>(s.transport_at()));
}

TEST_F(SocketPort, SuperFramesPassWholeAndInOrder) {
  Lab lab;
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tags : {0U, 1U, 2U}) {
      for (const std::size_t payload : {1000U, 1450U, 3000U, 30'000U, 65'000U}) {
        test::LongSegment s;
        s.ipv6 = ipv6;
        s.tags.assign(tags, {5, kEtherTypeVlan});
        s.payload = payload;
        // Some segments are so short that the super-frame fits a slot.
        ASSERT_TRUE(send_long(lab.client, s, payload == 1000 ? 300 : 1400));
        const Frame small = frame_of(200, {0x08, 0x06});
        ASSERT_TRUE(lab.client.send(small));
        EXPECT_TRUE(lab.server.receive() == s.super_frame()) << ipv6 << tags << ' ' << payload;
        EXPECT_TRUE(lab.server.receive() == small);
      }
    }
  }
  EXPECT_TRUE(returns_all(lab.proxy));
}

// The kernel merges up to 64 KB without the Ethernet header. With it they do not fit the 16 bits of
// a length.
TEST_F(SocketPort, SuperFrameThatNoBufferHoldsPassesInTwo) {
  Lab lab;
  ASSERT_TRUE(ip("link set spc-far gso_max_size 100000"));  // otherwise the sender cuts it
  test::LongSegment s;
  s.ipv6 = true;
  s.payload = 65'535 - 32;
  s.flags = kAck | kPsh;
  ASSERT_TRUE(send_long(lab.client, s));
  const auto first = lab.server.receive();
  const auto second = lab.server.receive();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->size() + second->size(), s.super_frame().size() + s.payload_at());
  Frame data(first->begin() + static_cast<std::ptrdiff_t>(s.payload_at()), first->end());
  data.insert(data.end(), second->begin() + static_cast<std::ptrdiff_t>(s.payload_at()),
              second->end());
  EXPECT_EQ(data, test::pattern(s.payload));
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, SuperFrameForANarrowerWireIsDroppedAndCounted) {
  VethPair wide("spc-near", "spc-far", 3000);
  VethPair narrow("sps-near", "sps-far", 1500);
  WireEnd client(wide.far());
  WireEnd server(narrow.far());
  ProxyUnderTest proxy(raw(wide.near()), raw(narrow.near()));
  ASSERT_TRUE(send_long(client, {}, 1449));
  ASSERT_TRUE(send_long(client, {}, 1448));
  EXPECT_EQ(server.receive(), test::LongSegment{}.super_frame());
  EXPECT_TRUE(eventually([&] { return proxy->io(0).tx_dropped[1].get() == 1; }));
  EXPECT_TRUE(returns_all(proxy));
}

TEST_F(SocketPort, SuperFrameThatIsToBeHeldComesInSegments) {
  Lab lab;
  const test::LongSegment s;
  Frame f = s.super_frame();
  std::uint16_t sum = load_be<std::uint16_t>(&f[24]);
  sum = static_cast<std::uint16_t>(sum - ((engine_stub::kCutTtl - f[22]) << 8));
  f[22] = engine_stub::kCutTtl;
  store_be(&f[24], sum);
  ASSERT_TRUE(lab.client.send_super(f, false, 1448, static_cast<std::uint16_t>(s.transport_at())));
  for (Frame segment : s.segments(1448)) {
    const auto got = lab.server.receive();
    ASSERT_TRUE(got);
    EXPECT_EQ((*got)[22], engine_stub::kCutTtl);
    EXPECT_EQ(Frame(got->begin() + 34, got->end()), Frame(segment.begin() + 34, segment.end()));
  }
  EXPECT_TRUE(returns_all(lab.proxy));
}

// A ring of DPDK gives back what was sent into it.
TEST_F(SocketPort, SuperFrameIsCutForAPortThatTakesNone) {
  VethPair wire("spc-near", "spc-far", 1500);
  WireEnd client(wire.far());
  ProxyUnderTest proxy(raw(wire.near()), vdev("net_ring_super"));
  for (const bool ipv6 : {false, true}) {
    test::LongSegment s;
    s.ipv6 = ipv6;
    s.payload = 60'000;
    ASSERT_TRUE(send_long(client, s));
    for (const Frame& segment : s.segments(1400)) ASSERT_EQ(client.receive(), segment);
  }
  EXPECT_TRUE(returns_all(proxy));
}

TEST_F(SocketPort, VerdictsAreCarriedOutInOrder) {
  Lab lab;
  ASSERT_TRUE(lab.client.send(command(Command::kReply)));
  EXPECT_EQ(lab.client.receive(), command(Command::kReply));
  Frame grown = command(Command::kGrow);
  ASSERT_TRUE(lab.client.send(grown));
  grown.resize(grown.size() + engine_stub::kGrowth, engine_stub::kGrowthFill);
  EXPECT_EQ(lab.client.receive(), grown);
  ASSERT_TRUE(lab.client.send(command(Command::kDrop)));
  const Frame cause = command(Command::kEmit);
  ASSERT_TRUE(lab.client.send(cause));
  // First the packet, then the frames that the engine made because of it.
  EXPECT_EQ(lab.server.receive(), cause);
  for (unsigned i = 0; i < engine_stub::kEmitted; ++i) {
    Frame made = command(Command::kForward);
    made[engine_stub::kNumberAt] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(lab.server.receive(), made) << i;
  }
  EXPECT_TRUE(lab.server.stays_silent());
  EXPECT_TRUE(lab.client.stays_silent());
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, EveryFrameIsCounted) {
  Lab lab;
  constexpr unsigned kFrames = 300;
  for (unsigned i = 0; i < kFrames; ++i) {
    ASSERT_TRUE(lab.client.send(frame_of(100, {0x08, 0x06})));
    ASSERT_TRUE(lab.server.receive());
  }
  const auto& io = lab.proxy->io(0);
  ASSERT_TRUE(eventually([&] { return io.tx_packets[1].get() == kFrames; }));
  EXPECT_EQ(io.rx_packets[0].get(), kFrames);
  EXPECT_EQ(io.rx_bytes[0].get(), kFrames * 100U);
  EXPECT_EQ(io.tx_bytes[1].get(), kFrames * 100U);
  EXPECT_EQ(io.rx_packets[1].get(), 0U);
  EXPECT_EQ(io.tx_packets[0].get(), 0U);
  EXPECT_EQ(io.tx_dropped[1].get(), 0U);
}

TEST_F(SocketPort, FrameTooLongForTheOtherWireIsDroppedAloneAndCounted) {
  VethPair wide("spc-near", "spc-far", 3000);
  VethPair narrow("sps-near", "sps-far", 1500);
  WireEnd client(wide.far());
  WireEnd server(narrow.far());
  ProxyUnderTest proxy(raw(wide.near()), raw(narrow.near()));
  ASSERT_TRUE(client.send(frame_of(2900, {0x08, 0x06})));
  const Frame fits = frame_of(900, {0x08, 0x06});
  ASSERT_TRUE(client.send(fits));
  EXPECT_EQ(server.receive(), fits);
  EXPECT_TRUE(eventually([&] { return proxy->io(0).tx_dropped[1].get() == 1; }));
  EXPECT_TRUE(returns_all(proxy));
}

TEST_F(SocketPort, FrameLongerThanTheWireAllowsIsCountedOnArrival) {
  Lab lab(1500);
  // Like a sender that leaves segmentation to its card.
  ASSERT_TRUE(ip("link set spc-far mtu 9000"));
  ASSERT_TRUE(ip("link set spc-near mtu 9000"));
  ASSERT_TRUE(lab.client.send(frame_of(5000, {0x08, 0x06})));
  EXPECT_TRUE(eventually([&] { return lab.proxy->port(PortId::kClient).rx_oversize == 1; }));
  EXPECT_TRUE(lab.server.stays_silent());
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, SendingIntoADeadWireNeverBlocksTheOtherDirection) {
  Lab lab;
  ASSERT_TRUE(ip("link set sps-far down"));
  for (unsigned i = 0; i < 2000; ++i) ASSERT_TRUE(lab.client.send(frame_of(1400, {0x08, 0x06})));
  ASSERT_TRUE(eventually([&] { return lab.proxy->io(0).tx_dropped[1].get() > 0; }));
  const Frame ask = command(Command::kReply);
  ASSERT_TRUE(lab.client.send(ask));
  EXPECT_EQ(lab.client.receive(), ask);
}

TEST_F(SocketPort, LinkThatGoesAndReturnsIsReportedOnceEach) {
  Lab lab;
  EXPECT_TRUE(lab.proxy->supervise().empty());
  EXPECT_TRUE(lab.proxy->port(PortId::kServer).link_up);
  ASSERT_TRUE(ip("link set sps-far down"));
  std::vector<std::string> lines;
  ASSERT_TRUE(eventually([&] { return !(lines = lab.proxy->supervise()).empty(); }));
  EXPECT_EQ(lines, std::vector<std::string>{"--server-port sps-near: link is down"});
  EXPECT_FALSE(lab.proxy->port(PortId::kServer).link_up);
  EXPECT_TRUE(lab.proxy->supervise().empty());
  ASSERT_TRUE(ip("link set sps-far up"));
  ASSERT_TRUE(eventually([&] { return !(lines = lab.proxy->supervise()).empty(); }));
  EXPECT_EQ(lines, std::vector<std::string>{"--server-port sps-near: link is up"});
  EXPECT_EQ(lab.proxy->port(PortId::kServer).link_changes, 2U);
  const Frame f = frame_of(200, {0x08, 0x06});
  ASSERT_TRUE(lab.client.send(f));
  EXPECT_EQ(lab.server.receive(), f);
}

TEST_F(SocketPort, DeletedInterfaceIsTakenUpAgainWhenItIsMadeAnew) {
  Lab lab;
  lab.server_wire.remove();
  std::vector<std::string> lines;
  ASSERT_TRUE(eventually([&] { return !(lines = lab.proxy->supervise()).empty(); }));
  EXPECT_NE(lines[0].find("--server-port sps-near: the interface is gone"), std::string::npos)
      << lines[0];
  EXPECT_FALSE(lab.proxy->port(PortId::kServer).link_up);
  // The other port goes on.
  const Frame ask = command(Command::kReply);
  ASSERT_TRUE(lab.client.send(ask));
  EXPECT_EQ(lab.client.receive(), ask);

  lab.server_wire.make();
  std::vector<std::string> all;
  ASSERT_TRUE(eventually([&] {
    for (auto& line : lab.proxy->supervise()) all.push_back(line);
    return lab.proxy->port(PortId::kServer).link_up;
  }));
  EXPECT_EQ(all.front(), "--server-port sps-near: the interface is back");
  WireEnd server(lab.server_wire.far());
  const Frame f = frame_of(300, {0x81, 0x00, 0x00, 0x03, 0x08, 0x06});
  ASSERT_TRUE(lab.client.send(f));
  EXPECT_EQ(server.receive(), f);
  ASSERT_TRUE(server.send(f));
  EXPECT_EQ(lab.client.receive(), f);
  EXPECT_TRUE(returns_all(lab.proxy));
}

TEST_F(SocketPort, TwoWorkersShareThePortsAndLoseNothing) {
  Lab lab(1500, 2);
  constexpr unsigned kFrames = 400;
  for (unsigned i = 0; i < kFrames; ++i) {
    Frame f = command(Command::kForward);
    f[engine_stub::kOwnerAt] = static_cast<std::uint8_t>(i);
    f[engine_stub::kNumberAt] = static_cast<std::uint8_t>(i >> 8);
    ASSERT_TRUE(lab.client.send(f));
    EXPECT_EQ(lab.server.receive(), f);
    ASSERT_TRUE(lab.server.send(f));
    EXPECT_EQ(lab.client.receive(), f);
  }
  const auto forwarded = [&](unsigned worker) {
    return lab.proxy->counters(worker).get(Reason::forwarded);
  };
  ASSERT_TRUE(eventually([&] { return forwarded(0) + forwarded(1) == 2 * kFrames; }));
  EXPECT_EQ(forwarded(0), kFrames);
  EXPECT_EQ(forwarded(1), kFrames);
  // One worker reads the client port and the other the server port: half of each port's frames move
  // over.
  EXPECT_EQ(lab.proxy.sum([](const auto& io) { return io.handed_over.get(); }), kFrames);
  EXPECT_EQ(lab.proxy.sum([](const auto& io) { return io.taken_over.get(); }), kFrames);
  EXPECT_TRUE(returns_all(lab.proxy));
}

}  // namespace
}  // namespace synproxy::tests
