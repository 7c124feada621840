// SPDX-License-Identifier: BSD-3-Clause
// What the operator may let past the proxy: fragments, and signed segments.
#include <gtest/gtest.h>

#include "support/session.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

using namespace test;

Bytes md5() {
  Bytes o{kOptionMd5, 18};
  o.insert(o.end(), 16, 0x5a);
  return o;
}
Bytes ao() { return {kOptionAo, 16, 1, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; }

PacketBuilder from_client(std::uint16_t flags) {
  return PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").ports(40000, 80).flags(flags);
}
PacketBuilder from_server(std::uint16_t flags) {
  PacketBuilder b;
  b.macs(kServerMac, kClientMac).ipv4("203.0.113.10", "198.51.100.7").ports(80, 40000);
  return b.flags(flags);
}

TEST(TcpAuth, ASignedSynIsRefusedWithItsOwnCounter) {
  ProxyHarness p;
  EXPECT_EQ(p.from_client(from_client(kSyn).mss(1460).option(md5()).build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(from_client(kSyn).mss(1460).option(ao()).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::tcp_auth), 2U);
  p.expect_quiet();
}

TEST(TcpAuth, WhereItIsForwardedTheWholeConnectionGoesPastUntouched) {
  HarnessOptions h;
  h.engine.tuning.forward_tcp_auth = true;
  ProxyHarness p(h);
  for (const Bytes& signature : {md5(), ao()}) {
    const std::vector<std::pair<Role, Bytes>> whole{
        {Role::kClient, from_client(kSyn).seq(100).mss(1460).option(signature).build()},
        {Role::kServer, from_server(kSyn | kAck).seq(7).ack(101).option(signature).build()},
        {Role::kClient, from_client(kAck).seq(101).ack(8).option(signature).build()},
        {Role::kClient, from_client(kAck).seq(101).ack(8).option(signature).payload("x").build()},
        {Role::kServer, from_server(kAck).seq(8).ack(102).option(signature).build()},
        {Role::kServer, from_server(kFin | kAck).seq(8).ack(102).option(signature).build()},
        {Role::kClient, from_client(kRst).seq(102).option(signature).build()},
        {Role::kServer, from_server(kRst).seq(9).option(signature).build()},
    };
    for (const auto& [side, frame] : whole) {
      EXPECT_EQ(p.feed(side, frame), Verdict::kForward);
      EXPECT_EQ(p.take_raw(other(side)), frame);
    }
  }
  EXPECT_EQ(p.count(Reason::forwarded), 16U);
  EXPECT_EQ(p.flows(), 0U);
}

TEST(TcpAuth, ForwardingIsForTheSignedAlone) {
  HarnessOptions h;
  h.engine.tuning.forward_tcp_auth = true;
  ProxyHarness p(h);
  Session c(p);
  c.open();
  c.client_sends("translated as ever");
  EXPECT_EQ(p.from_client(from_client(kAck).seq(5).ack(6).ports(41000, 80).build()),
            Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  EXPECT_EQ(p.count(Reason::forwarded), 0U);
}

TEST(Fragments, AreForwardedUntouchedWhereTheOperatorSaysSo) {
  HarnessOptions h;
  h.engine.tuning.fragments = Fragments::kForward;
  ProxyHarness p(h);
  const std::vector<Bytes> client{
      from_client(kAck).fragment(0x2000).payload("first").build(),
      from_client(kAck).fragment(0x0010).build(),
      PacketBuilder().ipv6("2001:db8:1::7", "2001:db8::10").flags(kAck).fragment(1).build(),
  };
  for (const Bytes& frame : client) {
    EXPECT_EQ(p.from_client(frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), frame);
  }
  const Bytes answer = from_server(kAck).fragment(0x2000).build();
  EXPECT_EQ(p.from_server(answer), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kClient), answer);
  EXPECT_EQ(p.count(Reason::forwarded), 4U);
  EXPECT_EQ(p.count(Reason::fragment), 0U);
}

}  // namespace
}  // namespace synproxy
