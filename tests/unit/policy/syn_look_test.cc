// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/syn_look.h"

#include <gtest/gtest.h>

#include <random>

#include "support/exact_buffer.h"
#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::ExactBuffer;
using test::PacketBuilder;

const ProtectSet& protect() {
  static const ProtectSet set({parse_protect_rule("203.0.113.10:80"),
                               parse_protect_rule("[2001:db8::10]:80"),
                               parse_protect_rule("203.0.113.128/25")});
  return set;
}

bool seen(const Bytes& frame) {
  const ExactBuffer exact(frame);
  SynLook look(protect());
  SynIdentity out;
  return look.is_syn(exact.data(), frame.size(), out);
}

// The same question, answered by the parser.
bool is_syn_to_protected(Bytes frame) {
  Segment s;
  parse_frame(frame.data(), frame.size(), s);
  return s.result == ParseResult::kTcp && (s.flags & (kSyn | kAck | kRst | kFin)) == kSyn &&
         protect().matches(s.destination(), s.ipv6, s.destination_port());
}

PacketBuilder v4(std::uint16_t flags = kSyn) {
  return PacketBuilder().seq(7).flags(flags).mss(1460).sack_permitted().timestamps(1, 0);
}
PacketBuilder v6(std::uint16_t flags = kSyn) {
  return v4(flags).ipv6("2001:db8:1::7", "2001:db8::10");
}

struct Row {
  const char* sentence;
  Bytes frame;
  bool syn;
};

std::vector<Row> rows() {
  return {
      {"SYN over IPv4", v4().build(), true},
      {"SYN over IPv6", v6().build(), true},
      {"SYN that asks for ECN", v4(kSyn | kEce | kCwr).build(), true},
      {"SYN that asks for AccECN", v6(kSyn | kEce | kCwr | kAe).build(), true},
      {"SYN with PSH and URG: a flood may have them", v4(kSyn | kPsh | kUrg).build(), true},
      {"SYN with data", v4().payload("GET /").build(), true},
      {"SYN under Ethernet padding", PacketBuilder().flags(kSyn).pad_to(60).build(), true},
      {"one tag", v4().vlan(5).build(), true},
      {"two tags", v6().vlan(5, kEtherTypeQinQ).vlan(6).build(), true},
      {"three tags are the engine's to refuse", v4().vlan(1).vlan(2).vlan(3).build(), false},
      {"IPv4 options", v4().ip_options(Bytes(8, 1)).build(), true},
      {"IPv6 extension headers", v6().extension(0).extension(60).build(), true},
      {"any port of a whole address",
       v4().ipv4("198.51.100.7", "203.0.113.200").ports(1, 9).build(), true},
      {"another port", v4().ports(40000, 81).build(), false},
      {"another address", v4().ipv4("198.51.100.7", "203.0.113.11").build(), false},
      {"another address, IPv6", v6().ipv6("2001:db8:1::7", "2001:db8::11").build(), false},
      {"SYN-ACK", v4(kSyn | kAck).build(), false},
      {"ACK", v4(kAck).build(), false},
      {"ACK, IPv6", v6(kAck).build(), false},
      {"FIN", v4(kFin | kAck).build(), false},
      {"no flags", v4(0).build(), false},
      {"SYN and FIN are junk, which has counters of its own", v4(kSyn | kFin).build(), false},
      {"SYN and RST", v6(kSyn | kRst).build(), false},
      {"UDP", v4().protocol(17).build(), false},
      {"ICMP, IPv6", v6().protocol(58).build(), false},
      {"first fragment", v4().fragment(0x2000).build(), false},
      {"later fragment", v4().fragment(3).build(), false},
      {"fragment header", v6().fragment(1).build(), false},
      {"ARP", v4().ether_type(0x0806).build(), false},
  };
}

TEST(SynLook, SeesSynsToProtectedPortsAndNothingElse) {
  for (const Row& row : rows()) {
    EXPECT_EQ(seen(row.frame), row.syn) << row.sentence;
    EXPECT_EQ(is_syn_to_protected(row.frame), row.syn) << row.sentence << " (the parser)";
  }
}

// ExactBuffer: under the sanitizer a read past the end is a crash.
TEST(SynLook, CutFramesAreNoSyns) {
  for (const Row& row : rows()) {
    for (std::size_t length = 0; length < row.frame.size(); ++length) {
      const Bytes cut(row.frame.begin(), row.frame.begin() + static_cast<std::ptrdiff_t>(length));
      ASSERT_EQ(seen(cut), is_syn_to_protected(cut)) << row.sentence << ", " << length;
    }
  }
}

TEST(SynLook, LengthsThatLieAreNoSyns) {
  const auto patched = [](Bytes frame, std::size_t at, std::uint8_t value) {
    frame[at] = value;
    return frame;
  };
  EXPECT_FALSE(seen(patched(v4().build(), 17, 255))) << "longer than the frame";
  EXPECT_FALSE(seen(patched(v4().build(), 17, 39))) << "no room for TCP";
  EXPECT_FALSE(seen(patched(v6().build(), 19, 255)));
  EXPECT_FALSE(seen(patched(v6().build(), 19, 19)));
  EXPECT_FALSE(seen(patched(v4().build(), 46, 0x40))) << "TCP header of 16 bytes";
  EXPECT_FALSE(seen(patched(v4().build(), 46, 0xf0))) << "TCP header longer than the segment";
  EXPECT_FALSE(seen(patched(v4().build(), 14, 0x44))) << "IP header of 16 bytes";
  EXPECT_FALSE(seen(patched(v4().build(), 14, 0x65)));
  EXPECT_FALSE(seen(patched(v6().build(), 14, 0x45)));
}

// The two are written differently, but must agree: each calls a SYN what the other does.
TEST(SynLook, AgreesWithTheParserOnDamagedFrames) {
  std::mt19937 random(4711);
  unsigned syns = 0;
  for (const Row& row : rows()) {
    for (int i = 0; i < 3000; ++i) {
      Bytes frame = row.frame;
      for (int damage = static_cast<int>(random() % 3); damage >= 0; --damage) {
        // Changes the headers; half of the time a single bit.
        std::uint8_t& byte = frame[12 + random() % (std::min<std::size_t>(frame.size(), 70) - 12)];
        byte = static_cast<std::uint8_t>(random() % 2 == 0 ? random() : byte ^ 1U << random() % 8);
      }
      const bool syn = is_syn_to_protected(frame);
      syns += syn ? 1 : 0;
      ASSERT_EQ(seen(frame), syn) << row.sentence << ", " << i;
    }
  }
  EXPECT_GT(syns, 5000U) << "or nothing was compared";
}

SynIdentity identity(const Bytes& frame) {
  SynLook look(protect());
  SynIdentity out{};
  EXPECT_TRUE(look.is_syn(frame.data(), frame.size(), out));
  return out;
}

bool same(const SynIdentity& a, const SynIdentity& b) {
  return a.source == b.source && a.start == b.start;
}

TEST(SynLook, SynAndItsRepeatAreOne) {
  const SynIdentity first = identity(v4().build());
  EXPECT_TRUE(same(first, identity(v4().ttl(9).ip_id(77).build())));
  const Bytes again = PacketBuilder().seq(7).flags(kSyn).mss(1460).timestamps(1001, 0).build();
  EXPECT_TRUE(same(first, identity(again))) << "its timestamp has moved on";
  EXPECT_FALSE(same(first, identity(v4().seq(8).build())));
  EXPECT_FALSE(same(first, identity(v4().ports(40001, 80).build())));
  EXPECT_FALSE(same(first, identity(v4().ipv4("198.51.100.8", "203.0.113.10").build())));
  EXPECT_FALSE(
      same(identity(v6().build()), identity(v6().ipv6("2001:db8:1::8", "2001:db8::10").build())));
  EXPECT_FALSE(
      same(identity(v6().build()), identity(v6().ipv6("2001:db8:2::7", "2001:db8::10").build())));
}

TEST(SynLook, EndSeenLastChangesNoAnswer) {
  SynLook look(protect());
  SynIdentity out;
  const Bytes good = v4().build();
  const Bytes port = v4().ports(40000, 81).build();
  const Bytes address = v4().ipv4("198.51.100.7", "0.0.0.0").ports(40000, 0).build();
  EXPECT_FALSE(look.is_syn(address.data(), address.size(), out)) << "before any was seen";
  EXPECT_TRUE(look.is_syn(good.data(), good.size(), out));
  EXPECT_FALSE(look.is_syn(port.data(), port.size(), out));
  EXPECT_FALSE(look.is_syn(address.data(), address.size(), out));
  EXPECT_TRUE(look.is_syn(good.data(), good.size(), out));
}

}  // namespace
}  // namespace synproxy
