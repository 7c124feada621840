// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/segment.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::ExactBuffer;
using test::PacketBuilder;

PacketBuilder v4() { return PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").flags(kAck); }
PacketBuilder v6() { return PacketBuilder().ipv6("2001:db8:1::7", "2001:db8::10").flags(kAck); }

struct Row {
  const char* sentence;
  Bytes frame;
  ParseResult result;
  unsigned tags = 0;
  std::size_t l3 = 14;
  std::size_t l4 = 0;  // 0: not looked at
};

// Changes one 16-bit field of a built frame. The checksums are then wrong, but the parser ignores
// them.
Bytes patched(Bytes frame, std::size_t at, unsigned value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
  return frame;
}

std::vector<Row> rows() {
  const auto chain = [](int n) {
    PacketBuilder b = v6();
    for (int i = 0; i < n; ++i) b.extension(60);
    return b.build();
  };
  return {
      {"TCP over IPv4", v4().build(), ParseResult::kTcp, 0, 14, 34},
      {"TCP over IPv6", v6().build(), ParseResult::kTcp, 0, 14, 54},
      {"802.1Q", v4().vlan(5).build(), ParseResult::kTcp, 1, 18, 38},
      {"802.1ad alone", v6().vlan(5, 0x88a8).build(), ParseResult::kTcp, 1, 18, 58},
      {"QinQ", v4().vlan(5, 0x88a8).vlan(6).build(), ParseResult::kTcp, 2, 22, 42},
      {"three tags are more than we keep, and TCP all the same",
       v4().vlan(1).vlan(2).vlan(3).build(), ParseResult::kTooDeep, 2, 26},
      {"UDP under three tags", v4().protocol(17).vlan(1).vlan(2).vlan(3).build(),
       ParseResult::kOther, 2, 26},
      {"TCP under four tags", v4().vlan(1).vlan(2).vlan(3).vlan(4).build(), ParseResult::kTooDeep,
       2, 30},
      {"five tags are not counted to the end", v4().vlan(1).vlan(2).vlan(3).vlan(4).vlan(5).build(),
       ParseResult::kTagPile, 2, 0},
      {"ARP", v4().ether_type(0x0806).build(), ParseResult::kOther},
      {"802.3 length instead of a type", v4().ether_type(46).build(), ParseResult::kOther},
      {"IPv4 with options", v4().ip_options(Bytes(40, 1)).build(), ParseResult::kTcp, 0, 14, 74},
      {"Ethernet padding is not payload", v4().pad_to(60).build(), ParseResult::kTcp, 0, 14, 34},
      {"UDP over IPv4", v4().protocol(17).build(), ParseResult::kOther},
      {"UDP over IPv6", v6().protocol(17).build(), ParseResult::kOther},
      {"IPv4 that says version 5", patched(v4().build(), 14, 0x5500), ParseResult::kBadIp},
      {"IPv6 behind the type of IPv4", v6().ether_type(0x0800).build(), ParseResult::kBadIp},
      {"IPv4 behind the type of IPv6", v4().ether_type(0x86dd).payload(Bytes(20)).build(),
       ParseResult::kBadIp},
      {"IPv4 header length below 20", patched(v4().build(), 14, 0x4400), ParseResult::kBadIp},
      {"IPv4 header longer than the packet", patched(v4().build(), 14, 0x4f00),
       ParseResult::kBadIp},
      {"IPv4 total length below the header", patched(v4().build(), 16, 19), ParseResult::kBadIp},
      {"IPv4 total length beyond the frame", patched(v4().build(), 16, 41), ParseResult::kBadIp},
      {"IPv4 total length 0", patched(v4().build(), 16, 0), ParseResult::kBadIp},
      {"IPv4 total length 65535", patched(v4().build(), 16, 0xffff), ParseResult::kBadIp},
      {"IPv4 that ends with its header", patched(v4().build(), 16, 20), ParseResult::kBadTcp},
      {"TCP cut to 19 bytes by the IP length", patched(v4().build(), 16, 39), ParseResult::kBadTcp},
      {"TCP data offset 4", patched(v4().build(), 14 + 20 + 12, 0x4010), ParseResult::kBadTcp},
      {"TCP data offset 0", patched(v4().build(), 14 + 20 + 12, 0x0010), ParseResult::kBadTcp},
      {"TCP data offset beyond the segment", patched(v4().build(), 14 + 20 + 12, 0x6010),
       ParseResult::kBadTcp},
      {"TCP data offset that uses every byte",
       patched(v4().payload(Bytes(40, 1)).build(), 14 + 20 + 12, 0xf010), ParseResult::kTcp, 0, 14,
       34},
      {"first fragment", v4().fragment(0x2000).build(), ParseResult::kFragment},
      {"later fragment", v4().fragment(0x0001).build(), ParseResult::kFragment},
      {"last fragment", v4().fragment(0x1fff).build(), ParseResult::kFragment},
      {"the reserved bit makes no fragment", v4().fragment(0x8000).build(), ParseResult::kTcp, 0,
       14, 34},
      {"fragment of UDP", v4().protocol(17).fragment(0x2000).build(), ParseResult::kOther},
      {"fragment of ICMP", v4().protocol(1).fragment(0x2000).build(), ParseResult::kOther},
      {"IPv6 payload length beyond the frame", patched(v6().build(), 18, 21), ParseResult::kBadIp},
      {"IPv6 payload length 0", patched(v6().build(), 18, 0), ParseResult::kBadTcp},
      {"IPv6 TCP cut to 19 bytes", patched(v6().build(), 18, 19), ParseResult::kBadTcp},
      {"hop-by-hop options", v6().extension(0).build(), ParseResult::kTcp, 0, 14, 62},
      {"destination options of 24 bytes", v6().extension(60, Bytes(22)).build(), ParseResult::kTcp,
       0, 14, 78},
      {"hop-by-hop, routing and destination options",
       v6().extension(0).extension(43, {4, 0}).extension(60).build(), ParseResult::kTcp, 0, 14, 78},
      {"routing with segments left: the destination is not final",
       v6().extension(43, {4, 1}).build(), ParseResult::kBadIp},
      {"four extension headers are walked", chain(4), ParseResult::kTcp, 0, 14, 14 + 40 + 32},
      {"five are an attack", chain(5), ParseResult::kBadIp},
      {"256 bytes of them are walked", v6().extension(60, Bytes(246)).extension(0).build(),
       ParseResult::kTcp, 0, 14, 14 + 40 + 256},
      {"more are an attack", v6().extension(60, Bytes(254)).extension(0).build(),
       ParseResult::kBadIp},
      {"extension header longer than the packet", patched(v6().extension(60).build(), 54, 0x06ff),
       ParseResult::kBadIp},
      {"extension header in the last 7 bytes", patched(v6().extension(60).build(), 18, 7),
       ParseResult::kBadIp},
      {"extension header and nothing behind", patched(v6().extension(60).build(), 18, 8),
       ParseResult::kBadTcp},
      {"IPv6 fragment of TCP", v6().fragment(1).build(), ParseResult::kFragment},
      {"IPv6 atomic fragment of TCP", v6().fragment(0).build(), ParseResult::kFragment},
      {"IPv6 fragment behind destination options", v6().extension(60).fragment(1).build(),
       ParseResult::kFragment},
      {"IPv6 fragment that starts with options, which may hide TCP",
       v6().fragment(1).protocol(60).build(), ParseResult::kFragment},
      {"IPv6 fragment of a fragment", v6().fragment(1).protocol(44).build(),
       ParseResult::kFragment},
      {"IPv6 fragment of UDP", v6().fragment(1).protocol(17).build(), ParseResult::kOther},
      {"IPv6 fragment of ICMPv6", v6().fragment(1).protocol(58).build(), ParseResult::kOther},
      {"IPv6 fragment of ESP", v6().fragment(1).protocol(50).build(), ParseResult::kOther},
      {"IPv6 fragment header cut to 7 bytes", patched(v6().fragment(1).build(), 18, 7),
       ParseResult::kBadIp},
      {"IPv6 no next header", v6().protocol(59).build(), ParseResult::kOther},
      {"ICMPv4", v4().icmp_error(3, 4, 1400, Bytes(28)).build(), ParseResult::kIcmp, 0, 14, 34},
      {"ICMPv6 behind hop-by-hop", v6().extension(0).icmp_error(2, 0, 1400, Bytes(48)).build(),
       ParseResult::kIcmp, 0, 14, 62},
      {"ICMPv6 in IPv4 is nothing we know", v4().protocol(58).build(), ParseResult::kOther},
      {"ICMPv4 in IPv6 is nothing we know", v6().protocol(1).build(), ParseResult::kOther},
  };
}

TEST(ParseFrame, Rows) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    const ExactBuffer buffer(row.frame);
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    EXPECT_EQ(s.result, row.result);
    EXPECT_EQ(s.vlan.tags(), row.tags);
    EXPECT_EQ(s.l3_offset, row.l3);
    if (row.l4 != 0) {
      EXPECT_EQ(s.l4_offset, row.l4);
    }
  }
}

// The promise of Segment: offsets and lengths lie inside the given bytes.
void expect_inside(const Segment& s, std::size_t size) {
  const bool addresses = s.result != ParseResult::kOther && s.result != ParseResult::kTagPile;
  if (addresses) {
    EXPECT_LE(s.l3_offset + (s.ipv6 ? 40U : 20U), size);
  }
  if (s.result == ParseResult::kTcp || s.result == ParseResult::kIcmp) {
    EXPECT_LE(std::size_t{s.l4_offset} + s.l4_length, size);
  }
  if (s.result == ParseResult::kTcp) {
    EXPECT_GE(s.header_length, 20);
    EXPECT_LE(s.header_length, 60);
    EXPECT_EQ(s.header_length + s.payload_length, s.l4_length);
  }
}

// AddressSanitizer watches the byte after the last one.
TEST(ParseFrame, EveryFrameTruncatedAtEveryLengthStaysInside) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    for (std::size_t n = 0; n <= row.frame.size(); ++n) {
      const ExactBuffer buffer{std::span(row.frame).first(n)};
      Segment s;
      parse_frame(buffer.data(), n, s);
      expect_inside(s, n);
      if (s.result == ParseResult::kTcp) (void)checksums_good(s);
    }
  }
}

// The IP length says how much belongs to the packet, so a cut packet is never taken for TCP.
TEST(ParseFrame, NoTruncatedTcpIsTakenForWhole) {
  for (const PacketBuilder& b : {v4().payload("payload"), v6().vlan(7).payload("payload")}) {
    const Bytes frame = b.build();
    for (std::size_t n = 0; n < frame.size(); ++n) {
      const ExactBuffer buffer{std::span(frame).first(n)};
      Segment s;
      parse_frame(buffer.data(), n, s);
      EXPECT_NE(s.result, ParseResult::kTcp) << n;
    }
  }
}

TEST(ParseFrame, AMillionMutatedFramesStayInside) {
  std::mt19937_64 random(11);
  const std::vector<Row> all = rows();
  std::array<std::uint64_t, 1U + static_cast<std::size_t>(ParseResult::kTagPile)> results{};
  for (int i = 0; i < test::rounds(1'000'000); ++i) {
    Bytes frame = all[random() % all.size()].frame;
    for (std::uint64_t r = random(); (r & 3) != 0; r = random()) {
      frame[(r >> 8) % std::min<std::size_t>(frame.size(), 80)] =
          static_cast<std::uint8_t>(r >> 40);
    }
    const std::uint64_t r = random();
    if ((r & 1) != 0) frame.resize((r >> 1) % (frame.size() + 1));
    const ExactBuffer buffer(frame);
    Segment s;
    parse_frame(buffer.data(), frame.size(), s);
    expect_inside(s, frame.size());
    ++results[static_cast<std::size_t>(s.result)];
  }
  for (const std::uint64_t n : results)
    EXPECT_GT(n, test::rounds(1000U)) << "a kind was hardly seen";
}

// The common shape is matched as a whole; every byte must tell it from its neighbours.
TEST(ParseFrame, CommonShapeMeansTheSameAsTheWholeWalk) {
  std::mt19937 random(5);
  const Bytes common = v4().timestamps(1, 2).payload("payload").build();
  for (int round = 0; round < test::rounds(300'000); ++round) {
    Bytes frame = common;
    for (auto n = random() % 3; n > 0; --n) {
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    }
    if (random() % 4 == 0) frame.resize(random() % (frame.size() + 1));
    const ExactBuffer fast(frame);
    const ExactBuffer slow(frame);
    Segment a;
    Segment b;
    parse_frame(fast.data(), frame.size(), a);
    detail::parse_any_frame(slow.data(), frame.size(), b);
    ASSERT_EQ(a.result, b.result);
    if (a.result != ParseResult::kTcp) continue;
    ASSERT_EQ(a.ipv6, b.ipv6);
    ASSERT_EQ(a.l3_offset, b.l3_offset);
    ASSERT_EQ(a.l4_offset, b.l4_offset);
    ASSERT_EQ(a.l4_length, b.l4_length);
    ASSERT_EQ(a.payload_length, b.payload_length);
    ASSERT_EQ(a.ports, b.ports);
    ASSERT_EQ(a.flags, b.flags);
    ASSERT_EQ(a.window, b.window);
    ASSERT_EQ(a.header_length, b.header_length);
    ASSERT_EQ(a.vlan.packed, b.vlan.packed);
    ASSERT_EQ(a.seq, b.seq);
    ASSERT_EQ(a.ack, b.ack);
  }
}

TEST(ParseFrame, FieldsAreThoseOfTheHeader) {
  const Bytes frame = v4().vlan(0x2005, 0x88a8)
                          .vlan(0x0006)
                          .ports(50000, 443)
                          .seq(0x01020304)
                          .ack(0xa1b2c3d4)
                          .flags(kAck | kPsh | kEce | kAe)
                          .window(0x1234)
                          .timestamps(1, 2)
                          .payload("hello")
                          .pad_to(100)
                          .build();
  const ExactBuffer buffer(frame);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  ASSERT_EQ(s.result, ParseResult::kTcp);
  EXPECT_EQ(s.frame, buffer.data());
  EXPECT_FALSE(s.ipv6);
  EXPECT_EQ(s.source_port(), 50000);
  EXPECT_EQ(s.destination_port(), 443);
  EXPECT_EQ(s.seq.value(), 0x01020304U);
  EXPECT_EQ(s.ack.value(), 0xa1b2c3d4U);
  EXPECT_EQ(s.flags, kAck | kPsh | kEce | kAe);
  EXPECT_EQ(s.window, 0x1234);
  EXPECT_EQ(s.header_length, 32);
  EXPECT_EQ(s.options_size(), 12U);
  EXPECT_EQ(s.payload_length, 5);
  EXPECT_EQ(s.l4_length, 37);
  EXPECT_EQ(s.vlan, VlanStack{}.pushed(0x88a8, 5).pushed(0x8100, 6));
  EXPECT_EQ(Bytes(s.source(), s.source() + 4), test::parse_address("198.51.100.7"));
  EXPECT_EQ(Bytes(s.destination(), s.destination() + 4), test::parse_address("203.0.113.10"));
  EXPECT_EQ(s.options()[0], 1);
  EXPECT_EQ(s.tcp_checksum(), s.l4() + 16);
  EXPECT_TRUE(s.has(kPsh));
  EXPECT_FALSE(s.has(kSyn));
}

TEST(ParseFrame, AddressesOfIpv6StandWhereTheyShould) {
  const ExactBuffer buffer(v6().extension(60).build());
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  ASSERT_TRUE(s.ipv6);
  EXPECT_EQ(Bytes(s.source(), s.source() + 16), test::parse_address("2001:db8:1::7"));
  EXPECT_EQ(Bytes(s.destination(), s.destination() + 16), test::parse_address("2001:db8::10"));
}

// Nothing of an earlier frame's result may remain.
TEST(ParseFrame, NothingOfThePreviousFrameIsLeft) {
  Segment s;
  const ExactBuffer first(v6().vlan(9).flags(kSyn).seq(7).build());
  parse_frame(first.data(), first.size(), s);
  const ExactBuffer second(Bytes(10));
  parse_frame(second.data(), second.size(), s);
  EXPECT_EQ(s.result, ParseResult::kOther);
  EXPECT_FALSE(s.ipv6);
  EXPECT_EQ(s.flags, 0);
  EXPECT_EQ(s.vlan.packed, 0U);
  EXPECT_EQ(s.l3_offset, 0);
  EXPECT_EQ(s.seq.value(), 0U);
}

TEST(ParseFrame, LargestPacketsFit) {
  Segment s;
  const ExactBuffer jumbo(v4().payload(Bytes(9000 - 40)).build());
  parse_frame(jumbo.data(), jumbo.size(), s);
  EXPECT_EQ(s.result, ParseResult::kTcp);
  EXPECT_EQ(s.payload_length, 8960);
  // 65535 bytes of IP behind 14 of Ethernet do not fit offsets of 16 bits: refused, not cut.
  const ExactBuffer largest(v4().payload(Bytes(65535 - 40)).build());
  parse_frame(largest.data(), largest.size(), s);
  EXPECT_EQ(s.result, ParseResult::kBadIp);
  const ExactBuffer fits(v6().payload(Bytes(0xffff - 14 - 60)).build());
  parse_frame(fits.data(), fits.size(), s);
  EXPECT_EQ(s.result, ParseResult::kTcp);
  EXPECT_EQ(std::size_t{s.l4_offset} + s.l4_length, 0xffffU);
}

TEST(SeqLength, SynAndFinTakeOneEach) {
  struct LengthRow {
    std::uint16_t flags;
    std::size_t payload;
    std::uint32_t length;
  };
  for (const auto& [flags, payload, length] : {LengthRow{kAck, 0, 0},
                                               {kSyn, 0, 1},
                                               {kFin | kAck, 0, 1},
                                               {kFin | kAck, 10, 11},
                                               {kSyn | kFin, 3, 5},
                                               {kRst, 0, 0},
                                               {kAck, 1, 1}}) {
    const ExactBuffer buffer(v4().flags(flags).seq(0xffffffff).payload(Bytes(payload)).build());
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    EXPECT_EQ(s.seq_length(), length);
    EXPECT_EQ(s.seq_end(), SeqNum(0xffffffffU + length));
  }
}

TEST(ChecksumsGood, EveryFlippedBitIsSeen) {
  for (const PacketBuilder& b : {v4().ip_options({1, 1, 1, 1}).mss(1460).payload("odd"),
                                 v6().extension(60).payload("even")}) {
    const Bytes frame = b.build();
    Segment s;
    const ExactBuffer good(frame);
    parse_frame(good.data(), good.size(), s);
    ASSERT_EQ(s.result, ParseResult::kTcp);
    EXPECT_TRUE(checksums_good(s));
    for (std::size_t bit = std::size_t{s.l3_offset} * 8; bit < frame.size() * 8; ++bit) {
      const std::size_t at = bit / 8;
      // IPv6 has no checksum of its header: only what the pseudo header covers counts.
      const bool uncovered = s.ipv6 && (at < s.l3_offset + 8U || (at >= 54 && at < s.l4_offset));
      if (uncovered) continue;
      Bytes bad = frame;
      bad[at] = static_cast<std::uint8_t>(bad[at] ^ 1U << bit % 8);
      const ExactBuffer buffer(bad);
      Segment t;
      parse_frame(buffer.data(), buffer.size(), t);
      if (t.result == ParseResult::kTcp) {
        EXPECT_FALSE(checksums_good(t)) << "bit " << bit;
      }
    }
  }
}

TEST(ChecksumsGood, EthernetPaddingDoesNotCount) {
  for (std::size_t payload = 0; payload < 8; ++payload) {
    const ExactBuffer buffer(v4().payload(Bytes(payload, 0xab)).pad_to(64).build());
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    EXPECT_TRUE(checksums_good(s)) << payload;
  }
}

TEST(ChecksumsGood, EitherChecksumAloneIsEnoughToRefuse) {
  Segment s;
  const ExactBuffer ip(v4().break_ip_checksum().build());
  parse_frame(ip.data(), ip.size(), s);
  EXPECT_FALSE(checksums_good(s));
  const ExactBuffer tcp(v4().break_l4_checksum().build());
  parse_frame(tcp.data(), tcp.size(), s);
  EXPECT_FALSE(checksums_good(s));
}

}  // namespace
}  // namespace synproxy
