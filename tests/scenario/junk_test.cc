// SPDX-License-Identifier: BSD-3-Clause
// Frames that are dropped, each with its own counter, and frames that the proxy leaves alone.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

PacketBuilder v4() { return PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").ports(40000, 80); }
PacketBuilder v6() {
  return PacketBuilder().ipv6("2001:db8:1::7", "2001:db8::10").ports(40000, 80);
}

Bytes patched(Bytes frame, std::size_t at, unsigned value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
  return frame;
}

struct Row {
  const char* sentence;
  Bytes frame;
  Reason reason;
};

std::vector<Row> client_rows() {
  constexpr std::uint16_t kAll = kFin | kSyn | kRst | kPsh | kAck | kUrg;
  return {
      {"no flag", v4().flags(0).build(), Reason::null_flags},
      {"no flag but ECE", v4().flags(kEce).build(), Reason::null_flags},
      {"all flags", v4().flags(kAll).build(), Reason::xmas_flags},
      {"all flags, ECN bits too", v6().flags(0x1ff).build(), Reason::xmas_flags},
      {"SYN and FIN", v4().flags(kSyn | kFin).build(), Reason::syn_fin},
      {"SYN, FIN and ACK", v4().flags(kSyn | kFin | kAck).build(), Reason::syn_fin},
      {"SYN and RST", v6().flags(kSyn | kRst).build(), Reason::syn_rst},
      {"SYN, RST and ACK", v4().flags(kSyn | kRst | kAck).build(), Reason::syn_rst},
      {"FIN alone", v4().flags(kFin).build(), Reason::no_ack_flag},
      {"FIN, PSH and URG", v4().flags(kFin | kPsh | kUrg).build(), Reason::no_ack_flag},
      {"data without ACK", v4().flags(kPsh).payload("x").build(), Reason::no_ack_flag},
      {"SYN-ACK that answers nothing", v4().flags(kSyn | kAck).build(), Reason::syn_ack_client},
      {"land",
       PacketBuilder().ipv4("203.0.113.10", "203.0.113.10").ports(80, 80).flags(kSyn).build(),
       Reason::land},
      {"land, IPv6",
       PacketBuilder().ipv6("2001:db8::10", "2001:db8::10").ports(80, 80).flags(kSyn).build(),
       Reason::land},
      {"from broadcast",
       PacketBuilder().ipv4("255.255.255.255", "203.0.113.10").flags(kSyn).build(),
       Reason::bad_source},
      {"from multicast", PacketBuilder().ipv4("224.0.0.1", "203.0.113.10").flags(kSyn).build(),
       Reason::bad_source},
      {"from multicast, ACK",
       PacketBuilder().ipv4("239.255.255.255", "203.0.113.10").flags(kAck).build(),
       Reason::bad_source},
      {"from 0.0.0.0", PacketBuilder().ipv4("0.0.0.0", "203.0.113.10").flags(kSyn).build(),
       Reason::bad_source},
      {"from loopback", PacketBuilder().ipv4("127.0.0.1", "203.0.113.10").flags(kSyn).build(),
       Reason::bad_source},
      {"from multicast, IPv6", PacketBuilder().ipv6("ff02::1", "2001:db8::10").flags(kSyn).build(),
       Reason::bad_source},
      {"from ::", PacketBuilder().ipv6("::", "2001:db8::10").flags(kSyn).build(),
       Reason::bad_source},
      {"from ::1", PacketBuilder().ipv6("::1", "2001:db8::10").flags(kSyn).build(),
       Reason::bad_source},
      {"to a broadcast MAC",
       v4().macs(kClientMac, {255, 255, 255, 255, 255, 255}).flags(kSyn).build(),
       Reason::bad_destination_mac},
      {"to a multicast MAC, ACK without a connection",
       v6().macs(kClientMac, {0x33, 0x33, 0, 0, 0, 1}).flags(kAck).build(), Reason::cookie_invalid},
      {"from a group MAC", v4().macs({3, 0xbf, 0, 0, 0, 1}, kServerMac).flags(kSyn).build(),
       Reason::bad_source},
      {"IP header length impossible", patched(v4().flags(kSyn).build(), 14, 0x4400),
       Reason::bad_ip_header},
      {"IP length beyond the frame", patched(v4().flags(kSyn).build(), 16, 1000),
       Reason::bad_ip_header},
      {"IPv6 chain that cannot be walked", v6().flags(kSyn).extension(43, {4, 1}).build(),
       Reason::bad_ip_header},
      {"TCP header below 20 bytes", patched(v4().flags(kSyn).build(), 46, 0x4002),
       Reason::bad_tcp_header},
      {"TCP header longer than the segment", patched(v4().flags(kSyn).build(), 46, 0x6002),
       Reason::bad_tcp_header},
      {"TCP cut short", patched(v4().flags(kSyn).build(), 16, 39), Reason::bad_tcp_header},
      {"first fragment", v4().flags(kSyn).fragment(0x2000).build(), Reason::fragment},
      {"later fragment", v4().flags(kAck).fragment(0x0010).build(), Reason::fragment},
      {"IPv6 fragment", v6().flags(kSyn).fragment(1).build(), Reason::fragment},
      {"IPv6 atomic fragment", v6().flags(kSyn).fragment(0).build(), Reason::fragment},
      {"SYN with a bad TCP checksum", v4().flags(kSyn).break_l4_checksum().build(),
       Reason::bad_checksum},
      {"SYN with a bad IP checksum", v4().flags(kSyn).break_ip_checksum().build(),
       Reason::bad_checksum},
      {"SYN with a bad TCP checksum, IPv6", v6().flags(kSyn).break_l4_checksum().build(),
       Reason::bad_checksum},
      {"ACK without a connection", v4().seq(5).ack(6).build(), Reason::cookie_invalid},
      {"ACK without a connection, IPv6, data", v6().seq(5).ack(6).payload("x").build(),
       Reason::cookie_invalid},
      {"FIN-ACK without a connection", v4().seq(5).ack(6).flags(kFin | kAck).build(),
       Reason::cookie_invalid},
      {"RST without a connection", v4().flags(kRst).build(), Reason::no_flow_client},
  };
}

// The verdict of the hardware counts like that of the software.
TEST(Junk, ChecksumHintsStandForALookOfOurOwn) {
  const Bytes bad_tcp = v4().flags(kSyn).break_l4_checksum().build();
  const Bytes bad_ip = v4().flags(kSyn).break_ip_checksum().build();
  const Bytes good = v4().flags(kSyn).build();
  const Bytes bad_tcp6 = v6().flags(kSyn).break_l4_checksum().build();
  struct Hinted {
    const Bytes& frame;
    ChecksumHint hint;
    Verdict verdict;
  };
  for (const Hinted& row : {Hinted{bad_tcp, ChecksumHint::kUnknown, Verdict::kDrop},
                            Hinted{bad_tcp, ChecksumHint::kGood, Verdict::kReply},
                            Hinted{bad_tcp, ChecksumHint::kTcpGood, Verdict::kReply},
                            Hinted{bad_ip, ChecksumHint::kGood, Verdict::kReply},
                            Hinted{bad_ip, ChecksumHint::kTcpGood, Verdict::kDrop},
                            Hinted{bad_tcp6, ChecksumHint::kTcpGood, Verdict::kReply},
                            Hinted{good, ChecksumHint::kBad, Verdict::kDrop}}) {
    ProxyHarness proxy;
    proxy.checksum_hint = row.hint;
    proxy.checksums_must_be_good = false;
    EXPECT_EQ(proxy.from_client(row.frame), row.verdict);
    EXPECT_EQ(proxy.count(Reason::bad_checksum), row.verdict == Verdict::kDrop ? 1U : 0U);
  }
}

TEST(Junk, FromTheClientIsDroppedAndCountedAndLeavesNothing) {
  for (const Row& row : client_rows()) {
    for (const bool tagged : {false, true}) {
      SCOPED_TRACE(row.sentence);
      Bytes frame = row.frame;
      if (tagged) {
        const Bytes tag{0x81, 0x00, 0x00, 0x64};
        frame.insert(frame.begin() + 12, tag.begin(), tag.end());
      }
      ProxyHarness p;
      EXPECT_EQ(p.from_client(frame), Verdict::kDrop);
      EXPECT_EQ(p.count(row.reason), 1U);
      EXPECT_EQ(p.flows(), 0U);
      p.expect_quiet();
    }
  }
}

// On a live connection junk must not get through either.
TEST(Junk, OnALiveFlowIsDroppedToo) {
  ProxyHarness p;
  Session c(p);
  c.open();
  for (const std::uint16_t flags :
       {std::uint16_t{0}, std::uint16_t{0x3f}, std::uint16_t{kSyn | kFin},
        std::uint16_t{kSyn | kRst}, std::uint16_t{kFin}, std::uint16_t{kSyn | kAck}}) {
    EXPECT_EQ(p.from_client(c.client(flags).build()), Verdict::kDrop) << flags;
  }
  EXPECT_EQ(p.from_client(c.client().fragment(0x2000).build()), Verdict::kDrop);
  p.expect_quiet();
  c.client_sends("alive");
  EXPECT_EQ(p.count(Reason::conn_reset), 0U);
}

TEST(Junk, FromTheServerWithoutAConnectionIsDropped) {
  struct ServerRow {
    const char* sentence;
    std::uint16_t flags;
    Reason reason;
    bool answered;
  };
  for (const ServerRow& row : {ServerRow{"ACK", kAck, Reason::no_flow_server, false},
                               ServerRow{"data", kAck | kPsh, Reason::no_flow_server, false},
                               ServerRow{"FIN-ACK", kAck | kFin, Reason::no_flow_server, false},
                               ServerRow{"RST", kRst, Reason::no_flow_server, false},
                               ServerRow{"SYN-ACK", kAck | kSyn, Reason::synack_stale, true}}) {
    SCOPED_TRACE(row.sentence);
    ProxyHarness p;
    Session c(p);
    p.from_server(c.server(row.flags).build());
    EXPECT_EQ(p.count(row.reason), 1U);
    EXPECT_EQ(p.to_server.size(), row.answered ? 1U : 0U);
    EXPECT_TRUE(p.to_client.empty());
    EXPECT_EQ(p.flows(), 0U);
  }
}

TEST(Junk, ServersFragmentsFromAProtectedAddressAreDropped) {
  ProxyHarness p;
  Session c(p);
  EXPECT_EQ(p.from_server(c.server().fragment(0x2000).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::fragment), 1U);
}

// A host that strips priority tags one by one would see the SYN.
TEST(Junk, TcpUnderThreeTagsIsDroppedWhereTheAddressIsProtected) {
  ProxyHarness p;
  EXPECT_EQ(p.from_client(v4().vlan(0).vlan(0).vlan(0).flags(kSyn).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::vlan_depth), 1U);
  const Bytes other = PacketBuilder()
                          .ipv4("198.51.100.7", "203.0.113.11")
                          .vlan(0)
                          .vlan(0)
                          .vlan(0)
                          .flags(kSyn)
                          .build();
  EXPECT_EQ(p.from_client(other), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kServer), other);
}

// Whoever is meant: counting to the end of a pile of tags is what its sender wants.
TEST(Junk, APileOfTagsIsDroppedWhateverItCarries) {
  ProxyHarness p;
  PacketBuilder udp = PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").protocol(17);
  for (int i = 0; i < 5; ++i) udp.vlan(7);
  EXPECT_EQ(p.from_client(udp.build()), Verdict::kDrop);
  PacketBuilder many = v4().flags(kSyn);
  for (int i = 0; i < 365; ++i) many.vlan(7);
  EXPECT_EQ(p.from_client(many.build()), Verdict::kDrop);
  EXPECT_EQ(p.from_server(many.build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::vlan_depth), 3U);
}

TEST(Forward, WhatIsNotProtectedTcpPassesUntouchedInBothDirections) {
  Bytes runt{1, 2, 3};
  Bytes jumbo_udp = v4().protocol(17).payload(Bytes(8900, 0x55)).build();
  const Bytes frames[] = {
      v4().ether_type(0x0806).build(),                                           // ARP
      v6().raw_l4(Bytes(32, 0x88)).protocol(58).build(),                         // ND
      v4().protocol(17).build(),                                                 // UDP
      v4().protocol(17).fragment(0x2000).build(),                                // its fragments
      v6().fragment(1).protocol(17).build(),                                     //
      v6().fragment(0).protocol(50).build(),                                     // ESP
      v4().ports(40000, 81).flags(kSyn).build(),                                 // other port
      PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").flags(kSyn).build(),  // other address
      PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").flags(0).build(),     // junk, not ours
      PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").fragment(0x2000).build(),
      patched(PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").build(), 16, 1000),
      patched(PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").build(), 46, 0x4000),
      v4().protocol(17).vlan(1).vlan(2).vlan(3).build(),      // UDP under three tags
      v4().protocol(47).build(),                              // GRE
      PacketBuilder().ether_type(0x88cc).pad_to(60).build(),  // LLDP
      jumbo_udp,
      runt,
      Bytes{},
      Bytes(14, 0xff),
      v4().icmp_error(8, 0, 7, to_bytes("ping")).build(),
  };
  ProxyHarness p;
  p.checksums_must_be_good = false;
  p.room = 10'000;
  std::uint64_t n = 0;
  for (const Bytes& frame : frames) {
    SCOPED_TRACE(n);
    EXPECT_EQ(p.from_client(frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), frame);
    EXPECT_EQ(p.from_server(frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kClient), frame);
    n += 2;
  }
  EXPECT_EQ(p.count(Reason::forwarded), n);
  p.expect_quiet();
}

TEST(Forward, SubnetsAndPortRangesAreProtected) {
  HarnessOptions h;
  h.protect = {"203.0.113.0/24:80-89", "2001:db8::/64", "192.0.2.1"};
  ProxyHarness p(h);
  const auto syn = [&](const char* from, const char* to, std::uint16_t port) {
    const Verdict v =
        p.from_client(PacketBuilder().ip(from, to).ports(4000, port).flags(kSyn).build());
    p.to_client.clear();
    p.to_server.clear();
    return v;
  };
  EXPECT_EQ(syn("198.51.100.7", "203.0.113.0", 80), Verdict::kReply);
  EXPECT_EQ(syn("198.51.100.7", "203.0.113.255", 89), Verdict::kReply);
  EXPECT_EQ(syn("198.51.100.7", "203.0.113.9", 90), Verdict::kForward);
  EXPECT_EQ(syn("198.51.100.7", "203.0.113.9", 79), Verdict::kForward);
  EXPECT_EQ(syn("198.51.100.7", "203.0.112.255", 80), Verdict::kForward);
  EXPECT_EQ(syn("198.51.100.7", "192.0.2.1", 65535), Verdict::kReply);
  EXPECT_EQ(syn("2001:db8:1::7", "2001:db8::ffff:ffff:ffff:ffff", 1), Verdict::kReply);
  EXPECT_EQ(syn("2001:db8:1::7", "2001:db8:0:1::1", 1), Verdict::kForward);
}

// The direction counts: a protected server that talks to port 80 of somebody else is a client
// there.
TEST(Forward, ProtectedAddressAsAClientElsewhereIsNotOurs) {
  ProxyHarness p;
  const Bytes frame =
      PacketBuilder().ipv4("203.0.113.10", "198.51.100.7").ports(50000, 80).flags(kSyn).build();
  EXPECT_EQ(p.from_server(frame), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kClient), frame);
  EXPECT_EQ(p.count(Reason::forwarded), 1U);
}

TEST(Outbound, ServersOwnConnectionPassesUntranslatedBothWays) {
  HarnessOptions h;
  h.protect = {"203.0.113.10", "2001:db8::10"};  // whole addresses
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p(h);
    const char* server = ipv6 ? "2001:db8::10" : "203.0.113.10";
    const char* peer = ipv6 ? "2001:db8:1::7" : "198.51.100.7";
    const auto out = [&](std::uint16_t flags, std::uint32_t seq, std::uint32_t ack) {
      PacketBuilder b;
      b.ip(server, peer).ports(33333, 443).seq(seq).ack(ack).flags(flags).timestamps(1, 2);
      return b;
    };
    const auto in = [&](std::uint16_t flags, std::uint32_t seq, std::uint32_t ack) {
      PacketBuilder b;
      b.ip(peer, server).ports(443, 33333).seq(seq).ack(ack).flags(flags).timestamps(1, 2);
      return b;
    };
    const auto passes_out = [&](const Bytes& f) {
      EXPECT_EQ(p.from_server(f), Verdict::kForward);
      EXPECT_EQ(p.take_raw(Role::kClient), f);
    };
    const auto passes_in = [&](const Bytes& f) {
      EXPECT_EQ(p.from_client(f), Verdict::kForward);
      EXPECT_EQ(p.take_raw(Role::kServer), f);
    };
    passes_out(out(kSyn, 100, 0).build());
    passes_out(out(kSyn, 100, 0).build());  // again
    passes_in(in(kSyn | kAck, 900, 101).build());
    passes_in(in(kSyn | kAck, 900, 101).build());
    passes_out(out(kAck, 101, 901).payload("EHLO").build());
    passes_in(in(kAck, 901, 105).payload("250").build());
    EXPECT_EQ(p.count(Reason::conn_passed), 1U);
    passes_out(out(kAck | kFin, 105, 904).build());
    passes_in(in(kAck | kFin, 904, 106).build());
    passes_out(out(kAck, 106, 905).build());
    EXPECT_EQ(p.count(Reason::passed), p.packets_in());
    p.expect_empty_after(70'000);
    p.expect_quiet();
  }
}

TEST(Outbound, RefusedConnectionOfTheServerIsForgottenSoon) {
  HarnessOptions h;
  h.protect = {"203.0.113.10"};
  ProxyHarness p(h);
  const Bytes syn = PacketBuilder()
                        .ip("203.0.113.10", "198.51.100.7")
                        .ports(33333, 443)
                        .flags(kSyn)
                        .seq(1)
                        .build();
  EXPECT_EQ(p.from_server(syn), Verdict::kForward);
  const Bytes rst = PacketBuilder()
                        .ip("198.51.100.7", "203.0.113.10")
                        .ports(443, 33333)
                        .ack(2)
                        .flags(kRst | kAck)
                        .build();
  EXPECT_EQ(p.from_client(rst), Verdict::kForward);
  p.to_client.clear();
  p.to_server.clear();
  p.expect_empty_after(70'000);
}

// A server that opens a connection must not displace one that a client has.
TEST(Outbound, SynOfTheServerOnAClientsFlowIsDropped) {
  ProxyHarness p;
  Session c(p);
  c.open();
  EXPECT_EQ(p.from_server(c.server(kSyn).ack(0).flags(kSyn).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_flow_server), 1U);
  c.client_sends("alive");
}

}  // namespace
}  // namespace synproxy
