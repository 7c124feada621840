// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/icmp.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <tuple>

#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::ExactBuffer;
using test::PacketBuilder;

constexpr const char* kServer4 = "203.0.113.10";
constexpr const char* kClient4 = "198.51.100.7";
constexpr const char* kServer6 = "2001:db8::10";
constexpr const char* kClient6 = "2001:db8:1::7";

// The segment of the server that did not arrive.
PacketBuilder lost(bool ipv6) {
  PacketBuilder b;
  b.ip(ipv6 ? kServer6 : kServer4, ipv6 ? kClient6 : kClient4).ports(80, 40000).seq(0x01020304);
  b.ack(5).timestamps(1, 2).payload("never arrived");
  return b;
}
PacketBuilder from_router(bool ipv6) {
  PacketBuilder b;
  b.ip(ipv6 ? "2001:db8:2::1" : "192.0.2.1", ipv6 ? kServer6 : kServer4);
  return b;
}

struct Row {
  const char* sentence;
  Bytes frame;
  bool valid;
  bool refusal = false;
  std::size_t tcp_bytes = 0;
};

std::vector<Row> rows() {
  Bytes not_tcp = lost(false).build_packet();
  not_tcp[9] = 17;
  Bytes later_fragment = lost(false).build_packet();
  later_fragment[7] = 1;
  Bytes short_header = lost(false).build_packet();
  short_header[0] = 0x44;
  Bytes long_header = lost(false).build_packet(28);
  long_header[0] = 0x4f;
  PacketBuilder five_extensions = lost(true);
  for (int i = 0; i < 5; ++i) five_extensions.extension(60);
  const Bytes q4 = lost(false).build_packet(28);
  const Bytes q6 = lost(true).build_packet(48);
  return {
      {"packet too big", from_router(false).icmp_error(3, 4, 1400, q4).build(), true, false, 8},
      {"port unreachable", from_router(false).icmp_error(3, 3, 0, q4).build(), true, true, 8},
      {"host unreachable", from_router(false).icmp_error(3, 1, 0, q4).build(), true, false, 8},
      {"protocol unreachable", from_router(false).icmp_error(3, 2, 0, q4).build(), true, true, 8},
      {"prohibited network", from_router(false).icmp_error(3, 9, 0, q4).build(), true, true, 8},
      {"prohibited host", from_router(false).icmp_error(3, 10, 0, q4).build(), true, true, 8},
      {"prohibited", from_router(false).icmp_error(3, 13, 0, q4).build(), true, true, 8},
      {"host precedence violation", from_router(false).icmp_error(3, 14, 0, q4).build(), true,
       false, 8},
      {"source quench", from_router(false).icmp_error(4, 0, 0, q4).build(), true, false, 8},
      {"time exceeded", from_router(false).icmp_error(11, 0, 0, q4).build(), true, false, 8},
      {"parameter problem", from_router(false).icmp_error(12, 0, 0, q4).build(), true, false, 8},
      {"echo request that carries the same bytes",
       from_router(false).icmp_error(8, 0, 0, q4).build(), false},
      {"redirect", from_router(false).icmp_error(5, 0, 0, q4).build(), false},
      {"7 bytes of TCP",
       from_router(false).icmp_error(3, 4, 0, lost(false).build_packet(27)).build(), false},
      {"the whole packet quoted",
       from_router(false).icmp_error(3, 4, 0, lost(false).build_packet()).build(), true, false, 45},
      {"quoted UDP", from_router(false).icmp_error(3, 3, 0, not_tcp).build(), false},
      {"quoted later fragment: no TCP header there",
       from_router(false).icmp_error(3, 4, 0, later_fragment).build(), false},
      {"quoted header length below 20",
       from_router(false).icmp_error(3, 4, 0, short_header).build(), false},
      {"quoted header longer than the quote",
       from_router(false).icmp_error(3, 4, 0, long_header).build(), false},
      {"quoted IPv4 options",
       from_router(false)
           .icmp_error(3, 4, 0, lost(false).ip_options(Bytes(8, 1)).build_packet(36))
           .build(),
       true, false, 8},
      {"nothing quoted", from_router(false).icmp_error(3, 4, 0, {}).build(), false},
      {"IPv6 quoted in ICMPv4", from_router(false).icmp_error(3, 4, 0, q6).build(), false},
      {"packet too big, IPv6", from_router(true).icmp_error(2, 0, 1400, q6).build(), true, false,
       8},
      {"port unreachable, IPv6", from_router(true).icmp_error(1, 4, 0, q6).build(), true, true, 8},
      {"no route, IPv6", from_router(true).icmp_error(1, 0, 0, q6).build(), true, false, 8},
      {"prohibited, IPv6", from_router(true).icmp_error(1, 1, 0, q6).build(), true, true, 8},
      {"address unreachable, IPv6", from_router(true).icmp_error(1, 3, 0, q6).build(), true, false,
       8},
      {"failed policy, IPv6", from_router(true).icmp_error(1, 5, 0, q6).build(), true, true, 8},
      {"reject route, IPv6", from_router(true).icmp_error(1, 6, 0, q6).build(), true, true, 8},
      {"quoted extension headers",
       from_router(true)
           .icmp_error(2, 0, 0, lost(true).extension(0).extension(60, Bytes(14)).build_packet(72))
           .build(),
       true, false, 8},
      {"quoted extension header that is cut",
       from_router(true)
           .icmp_error(2, 0, 0, lost(true).extension(60, Bytes(14)).build_packet(55))
           .build(),
       false},
      {"quoted first fragment, IPv6",
       from_router(true).icmp_error(2, 0, 0, lost(true).fragment(1).build_packet(56)).build(), true,
       false, 8},
      {"quoted later fragment, IPv6",
       from_router(true).icmp_error(2, 0, 0, lost(true).fragment(8).build_packet(56)).build(),
       false},
      {"five quoted extension headers",
       from_router(true).icmp_error(2, 0, 0, five_extensions.build_packet(120)).build(), false},
      {"type 3 code 3 is time exceeded in IPv6", from_router(true).icmp_error(3, 3, 0, q6).build(),
       true, false, 8},
      {"echo reply, IPv6", from_router(true).icmp_error(129, 0, 0, q6).build(), false},
      {"neighbour advertisement, IPv6", from_router(true).icmp_error(136, 0, 0, q6).build(), false},
      {"type 0, IPv6", from_router(true).icmp_error(0, 0, 0, q6).build(), false},
      {"IPv4 quoted in ICMPv6",
       from_router(true).icmp_error(1, 4, 0, lost(false).build_packet()).build(), false},
      {"7 bytes of TCP, IPv6",
       from_router(true).icmp_error(2, 0, 0, lost(true).build_packet(47)).build(), false},
      {"behind two tags",
       from_router(false).vlan(1, 0x88a8).vlan(2).icmp_error(3, 4, 0, q4).build(), true, false, 8},
  };
}

// RFC 1122 section 4.2.3.9, RFC 9293 section 3.9.2.2, RFC 4443 section 3.1: every code of both
// families. h: hard, s: soft, -: neither.
TEST(ParseQuoted, SeverityOfEveryCode) {
  const std::tuple<bool, std::uint8_t, std::string> of_codes[] = {
      {false, 3, "sshh-shhhhhsshsss"}, {false, 4, "-"}, {false, 11, "ss"}, {false, 12, "sss"},
      {true, 1, "shsshhhss"},          {true, 2, "-"},  {true, 3, "ss"},   {true, 4, "sss"}};
  for (const auto& [ipv6, type, severities] : of_codes) {
    for (std::uint8_t code = 0; code < severities.size(); ++code) {
      SCOPED_TRACE(std::to_string(type) + '/' + std::to_string(code) + (ipv6 ? " IPv6" : " IPv4"));
      const Bytes frame =
          from_router(ipv6).icmp_error(type, code, 0, lost(ipv6).build_packet()).build();
      const ExactBuffer buffer(frame);
      Segment s;
      parse_frame(buffer.data(), buffer.size(), s);
      const QuotedSegment q = parse_quoted(s);
      ASSERT_TRUE(q.valid);
      EXPECT_EQ(q.refusal, severities[code] == 'h');
      EXPECT_EQ(q.soft, severities[code] == 's');
    }
  }
}

TEST(ParseQuoted, Rows) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    const ExactBuffer buffer(row.frame);
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    ASSERT_EQ(s.result, ParseResult::kIcmp);
    EXPECT_TRUE(icmp_checksum_good(s));
    const QuotedSegment q = parse_quoted(s);
    EXPECT_EQ(q.valid, row.valid);
    EXPECT_EQ(q.refusal, row.refusal);
    if (!row.valid) continue;
    EXPECT_FALSE(q.refusal && q.soft);
    EXPECT_EQ(q.source_port, 80);
    EXPECT_EQ(q.destination_port, 40000);
    EXPECT_EQ(q.seq.value(), 0x01020304U);
    EXPECT_EQ(q.tcp_bytes, row.tcp_bytes);
    EXPECT_EQ(q.ip_offset, s.l4_offset + 8);
  }
}

TEST(ParseQuoted, EveryFrameTruncatedAtEveryLengthStaysInside) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    // The IP header must agree with the cut, or the parser would refuse the frame before.
    for (std::size_t n = 0; n <= row.frame.size(); ++n) {
      const ExactBuffer buffer{std::span(row.frame).first(n)};
      Segment s;
      parse_frame(buffer.data(), row.frame.size() > n ? n : row.frame.size(), s);
      const std::size_t header = s.ipv6 ? 40 : 20;
      if (s.l3_offset == 0 || n < s.l3_offset + header) continue;
      const std::size_t length = n - s.l3_offset - (s.ipv6 ? 40 : 0);
      store_be<std::uint16_t>(s.l3() + (s.ipv6 ? 4 : 2), static_cast<std::uint16_t>(length));
      parse_frame(buffer.data(), n, s);
      if (s.result != ParseResult::kIcmp) continue;
      const QuotedSegment q = parse_quoted(s);
      if (q.valid) {
        EXPECT_LE(std::size_t{q.tcp_offset} + q.tcp_bytes, n);
      }
      (void)icmp_checksum_good(s);
    }
  }
}

TEST(ParseQuoted, MutatedFramesStayInside) {
  std::mt19937_64 random(13);
  const std::vector<Row> all = rows();
  std::uint64_t valid = 0;
  for (int i = 0; i < test::rounds(300'000); ++i) {
    Bytes frame = all[random() % all.size()].frame;
    for (std::uint64_t r = random(); (r & 3) != 0; r = random()) {
      frame[14 + (r >> 8) % (frame.size() - 14)] = static_cast<std::uint8_t>(r >> 40);
    }
    const ExactBuffer buffer(frame);
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    if (s.result != ParseResult::kIcmp) continue;
    const QuotedSegment q = parse_quoted(s);
    if (!q.valid) continue;
    ++valid;
    EXPECT_LE(std::size_t{q.tcp_offset} + q.tcp_bytes, frame.size());
    EXPECT_GE(q.tcp_bytes, 8);
  }
  EXPECT_GT(valid, test::rounds(10'000U));
}

TEST(IcmpChecksum, CoversThePseudoHeaderInIpv6Only) {
  for (const bool ipv6 : {false, true}) {
    const Bytes frame =
        from_router(ipv6).icmp_error(3, 1, 0, lost(ipv6).build_packet(ipv6 ? 48 : 28)).build();
    Bytes bad = frame;
    bad[ipv6 ? 14 + 9 : 14 + 13] ^= 1;  // a bit of the source address
    const ExactBuffer buffer(bad);
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    ASSERT_EQ(s.result, ParseResult::kIcmp);
    EXPECT_EQ(icmp_checksum_good(s), !ipv6);
    bad = frame;
    bad.back() ^= 0x10;
    const ExactBuffer other(bad);
    parse_frame(other.data(), other.size(), s);
    EXPECT_FALSE(icmp_checksum_good(s));
  }
}

}  // namespace
}  // namespace synproxy
