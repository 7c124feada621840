// SPDX-License-Identifier: BSD-3-Clause
// What an engine looks at while its worker does not keep up with packets of no connection.
#include <gtest/gtest.h>

#include "support/session.h"
#include "synproxy/policy/stateless_shed.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;
using test::ProxyHarness;
using test::Session;

constexpr SourceCircle::Key kKey{0x0123456789abcdefU, 0xfedcba9876543210U, 0x0f1e2d3c4b5a6978U,
                                 0x1122334455667788U};

// At its smallest share.
void overload(StatelessShedder& shedder, std::uint64_t from_ms) {
  for (std::uint64_t ms = 0; ms < 100; ++ms) shedder.tick(from_ms + ms, true);
}

Bytes source(std::uint32_t n, bool ipv6) {
  Bytes out = ipv6 ? Bytes(16, 0x20) : Bytes{10, 0, 0, 0};
  store_be<std::uint16_t>(&out[out.size() - 2], static_cast<std::uint16_t>(n));
  return out;
}
PacketBuilder from(std::uint32_t n, bool ipv6) {
  PacketBuilder b;
  b.ip_raw(source(n, ipv6), test::parse_address(ipv6 ? "2001:db8::10" : "203.0.113.10"));
  return b;
}

TEST(StatelessShed, DropsAcksAndIcmpOfMostSourcesAndNothingOfAConnection) {
  constexpr std::uint32_t kSources = 2000;
  for (const bool ipv6 : {false, true}) {
    StatelessShedder shedder(kKey);
    overload(shedder, 1000);
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.open();
    p.shed_by(shedder);
    for (std::uint32_t n = 0; n < kSources; ++n) {
      EXPECT_EQ(p.from_client(from(n, ipv6).seq(n).ack(n * 7919).build()), Verdict::kDrop);
    }
    const std::uint64_t looked_at = p.count(Reason::cookie_invalid);
    EXPECT_EQ(p.count(Reason::ack_shed) + looked_at, kSources);
    EXPECT_GT(looked_at, kSources / 25);
    EXPECT_LT(looked_at, kSources / 8);
    for (std::uint32_t n = 0; n < kSources; ++n) {
      p.from_client(from(n, ipv6).icmp_error(ipv6 ? 128 : 8, 0, 7, test::to_bytes("ping")).build());
    }
    EXPECT_EQ(p.count(Reason::icmp_shed) + p.count(Reason::forwarded), kSources);
    EXPECT_EQ(p.count(Reason::icmp_shed), p.count(Reason::ack_shed)) << "the same sources";
    p.to_server.clear();

    c.client_sends("still here");
    c.server_sends("me too");
    Session other(p, {.ipv6 = ipv6, .client_port = 41'000});
    other.syn();
    p.from_server(other.server().icmp_error(ipv6 ? 128 : 8, 0, 7, test::to_bytes("ping")).build());
    EXPECT_EQ(p.count(Reason::icmp_shed), p.count(Reason::ack_shed)) << "the server's is not shed";
    p.to_client.clear();
    c.close();
  }
}

TEST(StatelessShed, EverySourceIsHeardOnceInSixSeconds) {
  for (std::uint32_t n = 0; n < 200; ++n) {
    StatelessShedder shedder(kKey);
    bool heard = false;
    for (std::uint64_t ms = 1; ms <= 6000; ++ms) {
      shedder.tick(ms, true);
      heard |= ms > 100 && shedder.lets_through(source(n, false).data(), false);
    }
    EXPECT_TRUE(heard) << n;
  }
}

TEST(StatelessShed, EndsASecondAfterTheOverload) {
  StatelessShedder shedder(kKey);
  EXPECT_FALSE(shedder.shedding());
  overload(shedder, 1000);
  EXPECT_TRUE(shedder.shedding());
  for (std::uint64_t ms = 1100; ms < 2110; ++ms) shedder.tick(ms, false);
  EXPECT_FALSE(shedder.shedding());
}

}  // namespace
}  // namespace synproxy
