// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/offload_carry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "support/exact_buffer.h"
#include "support/fake_kernel.h"
#include "support/packet_builder.h"
#include "support/rounds.h"
#include "support/super_frames.h"

namespace synproxy {
namespace {

using namespace test;

PacketBuilder plain(bool ipv6 = false) {
  PacketBuilder b;
  ipv6 ? b.ip("2001:db8:1::7", "2001:db8::10") : b.ip("198.51.100.7", "203.0.113.10");
  b.ports(40'000, 80).seq(0x01020304).ack(0x05060708).flags(kAck).window(0x1234);
  return b;
}

// As the program in the kernel reads a frame: into a buffer that is not longer than it must be.
bool read(const Bytes& frame, OffloadSeen& seen, std::uint32_t sender = OFFLOAD_CLIENT) {
  const ExactBuffer h(Bytes(kOffloadHeaders, 0));
  const std::size_t have = std::min<std::size_t>(frame.size(), kOffloadHeaders);
  std::copy_n(frame.begin(), have, h.data());
  return read_headers(h.data(), static_cast<std::uint32_t>(have),
                      static_cast<std::uint32_t>(frame.size()), sender, seen);
}
bool is_plain(const PacketBuilder& b) {
  OffloadSeen seen;
  return read(b.build(), seen);
}

TEST(OffloadRead, APlainSegmentOfEitherEnd) {
  for (const bool ipv6 : {false, true}) {
    const Bytes frame = plain(ipv6).timestamps(1, 2).payload(Bytes(100, 'x')).build();
    OffloadSeen seen;
    ASSERT_TRUE(read(frame, seen));
    EXPECT_EQ(seen.seq, 0x01020304U);
    EXPECT_EQ(seen.ack, 0x05060708U);
    EXPECT_EQ(seen.window, 0x1234U);
    EXPECT_EQ(seen.payload, 100U);
    EXPECT_EQ(seen.tcp_size, 32U);
    EXPECT_EQ(seen.tcp_at, ipv6 ? 54U : 34U);
    EXPECT_EQ(seen.key.ipv6, ipv6 ? 1U : 0U);
    EXPECT_EQ(be16::from_raw(seen.key.client_port).host(), 40'000);
    EXPECT_EQ(be16::from_raw(seen.key.server_port).host(), 80);
    OffloadSeen other;
    ASSERT_TRUE(read(frame, other, OFFLOAD_SERVER));
    EXPECT_EQ(be16::from_raw(other.key.client_port).host(), 80);
    EXPECT_TRUE(std::equal(seen.key.client, seen.key.client + 4, other.key.server));
    EXPECT_TRUE(std::equal(seen.key.server, seen.key.server + 4, other.key.client));
  }
}

TEST(OffloadRead, OnlyPlainSegments) {
  EXPECT_TRUE(is_plain(plain()));
  for (const std::uint16_t with : {kPsh, kEce, kCwr}) {
    EXPECT_TRUE(is_plain(plain().flags(static_cast<std::uint16_t>(kAck | with)))) << with;
  }
  for (const std::uint16_t with : {kSyn, kFin, kRst, kUrg, kAe}) {
    EXPECT_FALSE(is_plain(plain().flags(static_cast<std::uint16_t>(kAck | with)))) << with;
  }
  EXPECT_FALSE(is_plain(plain().flags(kPsh)));
  EXPECT_FALSE(is_plain(plain().vlan(100)));
  EXPECT_FALSE(is_plain(plain().sack({{1, 2}})));
  EXPECT_FALSE(is_plain(plain().timestamps(1, 2).sack({{1, 2}})));
  EXPECT_FALSE(is_plain(plain().nop(4)));
}

TEST(OffloadRead, NoHeaderThatDoesNotAddUp) {
  const auto with = [](std::size_t at, std::uint8_t value) {
    Bytes frame = plain().payload(Bytes(50, 'x')).build();
    frame[at] = value;
    OffloadSeen seen;
    return read(frame, seen);
  };
  EXPECT_TRUE(with(14, 0x45));
  EXPECT_FALSE(with(14, 0x46)) << "IPv4 options";
  EXPECT_FALSE(with(14, 0x65)) << "another version";
  EXPECT_FALSE(with(13, 0x06)) << "ARP";
  EXPECT_FALSE(with(23, 17)) << "UDP";
  EXPECT_FALSE(with(20, 0x20)) << "more fragments";
  EXPECT_FALSE(with(21, 1)) << "a later fragment";
  EXPECT_TRUE(with(20, 0x40)) << "DF";
  EXPECT_FALSE(with(16, 1)) << "longer than the frame";
  EXPECT_FALSE(with(17, 39)) << "shorter than its headers";
  EXPECT_FALSE(with(17, 0)) << "a length that the field cannot hold";
  EXPECT_FALSE(with(46, 0x40)) << "data offset below 5";
  EXPECT_FALSE(with(46, 0x60)) << "data offset 6";
  EXPECT_FALSE(with(46, 0xf0)) << "data offset 15";
  EXPECT_FALSE(with(46, 0x52)) << "a reserved bit";
}

TEST(OffloadRead, NothingOfACutFrameIsBelieved) {
  for (const bool ipv6 : {false, true}) {
    const Bytes whole = plain(ipv6).timestamps(1, 2).payload(Bytes(20, 'x')).build();
    for (std::size_t n = 0; n < whole.size(); ++n) {
      OffloadSeen seen;
      EXPECT_FALSE(read(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)), seen)) << n;
    }
    Bytes padded = whole;
    padded.resize(padded.size() + 6);
    OffloadSeen seen;
    ASSERT_TRUE(read(padded, seen));
    EXPECT_EQ(seen.payload, 20U);
  }
}

TEST(OffloadTcpSumGood, TellsARightSumAndThePseudoHeadersFromOthers) {
  std::mt19937 dice(3);
  for (int i = 0; i < rounds(20'000); ++i) {
    const auto word = [&] { return static_cast<std::uint32_t>(dice()); };
    PacketBuilder b = plain(i % 2 != 0).seq(word()).ack(word());
    if (i % 4 < 2) b.timestamps(word(), word());
    Bytes frame = b.build();
    OffloadSeen seen;
    ASSERT_TRUE(read(frame, seen));
    EXPECT_TRUE(offload_tcp_sum_good(&frame[seen.tcp_at], &seen));
    const Bytes unfinished = with_pseudo_sum(frame, kEthernetHeader, i % 2 != 0);
    EXPECT_TRUE(offload_tcp_sum_good(&unfinished[seen.tcp_at], &seen));
    const std::size_t at = seen.tcp_at + 4 + word() % 8;
    frame[at] ^= static_cast<std::uint8_t>(1U << word() % 8);
    EXPECT_FALSE(offload_tcp_sum_good(&frame[seen.tcp_at], &seen));
  }
}

TEST(OffloadWindow, GoesByTheScaleOfItsSender) {
  OffloadSlot slot{};
  slot.end[OFFLOAD_CLIENT].window_scale = 3;
  slot.end[OFFLOAD_SERVER].window_scale = 9;
  slot.offered_scale = 7;
  EXPECT_EQ(offload_window(&slot, 100, OFFLOAD_SERVER), 400U);
  EXPECT_EQ(offload_window(&slot, 100, OFFLOAD_CLIENT), 100U);
  slot.flags = OFFLOAD_SERVER_UNSCALED;
  EXPECT_EQ(offload_window(&slot, 100, OFFLOAD_CLIENT), 800U);
}

TEST(OffloadPlace, IsAWholeSetOfSlotsAndSpreads) {
  std::array<unsigned, OFFLOAD_SLOTS / OFFLOAD_WAYS> sets{};
  for (std::uint32_t i = 0; i < 4096; ++i) {
    OffloadKey key{};
    key.client[0] = i;
    const std::uint32_t place = offload_place(&key, 0x5eed);
    ASSERT_EQ(place % OFFLOAD_WAYS, 0U);
    ASSERT_LE(place, OFFLOAD_SLOTS - OFFLOAD_WAYS);
    ++sets[place / OFFLOAD_WAYS];
    EXPECT_EQ(place, offload_place(&key, 0x5eed));
  }
  for (const unsigned n : sets) EXPECT_LT(n, 48U);  // 16 on average
}

TEST(OffloadSameKey, EveryFieldCounts) {
  OffloadKey a{};
  EXPECT_TRUE(offload_same_key(&a, &a));
  for (std::size_t i = 0; i < sizeof a; ++i) {
    OffloadKey b = a;
    reinterpret_cast<std::uint8_t*>(&b)[i] ^= 1;
    EXPECT_FALSE(offload_same_key(&a, &b)) << i;
  }
}

}  // namespace
}  // namespace synproxy
