// SPDX-License-Identifier: BSD-3-Clause
// What an operator sees of connections, and what becomes of one that is deleted.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {
namespace {

FlowInfo only(const ProxyHarness& p) {
  const auto all = p.shown();
  EXPECT_EQ(all.size(), 1U);
  return all.empty() ? FlowInfo{} : all[0];
}

TEST(ShownFlow, SaysWhatTheRecordKnows) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6,
                  .client_port = 40'123,
                  .tags = {{5, 0x8100}},
                  .client_scale = 3,
                  .server_scale = 9});
    c.open();
    c.client_sends("GET /");
    c.server_sends("200 and more");
    c.client_sends("");
    p.advance(250);
    const FlowInfo f = only(p);
    EXPECT_EQ(f.key().ipv6, ipv6);
    EXPECT_EQ(f.client_port, 40'123);
    EXPECT_EQ(f.server_port, 80);
    EXPECT_EQ(VlanStack{f.vlan}.inner(), 5);
    EXPECT_EQ(f.state, static_cast<std::uint8_t>(FlowState::kEstablished));
    EXPECT_EQ(f.delta, c.delta());
    EXPECT_EQ(f.ts_delta, c.ts_delta());
    EXPECT_EQ(f.idle_ms, 250U);
    EXPECT_EQ(f.from_client, 5U);
    EXPECT_EQ(f.from_server, 12U);
    EXPECT_EQ(f.scales & 15, 3);
    EXPECT_EQ(f.scales >> 4, 9);
    EXPECT_NE(f.options & kFlowTimestamps, 0);
    EXPECT_NE(f.options & kFlowSack, 0);
    EXPECT_EQ(f.options & kFlowEcn, 0);
  }
}

TEST(ShownFlow, ItsAgeGoesOnWhileItSpeaksAndAnotherOneBeginsAnew) {
  ProxyHarness p;
  Session c(p);
  c.open();
  EXPECT_EQ(only(p).age_seconds, 0U);
  constexpr std::uint32_t kTens = kSanitized ? 20 : 60;  // of seconds
  for (std::uint32_t i = 0; i < kTens; ++i) {
    p.advance(10'000);
    p.to_server.clear();  // ACKs of the handshake, until the server has spoken
    c.client_sends("still here");
    c.server_sends("so am I");
  }
  FlowInfo f = only(p);
  EXPECT_GE(f.age_seconds, 10 * kTens - 1);
  EXPECT_LE(f.age_seconds, 10 * kTens);
  EXPECT_EQ(f.idle_ms, 0U);
  // The same ends once more, in the record of the first.
  ASSERT_TRUE(p.delete_flow(f));
  p.advance(70'000);
  ASSERT_EQ(p.flows(), 0U);
  p.to_client.clear();
  p.to_server.clear();
  Session again(p);
  again.open();
  p.advance(2'500);
  f = only(p);
  EXPECT_EQ(f.age_seconds, 2U);
}

TEST(ShownFlow, AClosedOneCountsItsBytesWithoutItsFins) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("four");
  c.close();
  const FlowInfo f = only(p);
  EXPECT_EQ(f.state, static_cast<std::uint8_t>(FlowState::kFinished));
  EXPECT_EQ(f.from_client, 4U);
  EXPECT_EQ(f.from_server, 0U);
}

TEST(ShownFlow, SlicesHoldEachFlowOnceAndNoFreeRecord) {
  ProxyHarness p;
  for (std::uint16_t port = 1; port <= 40; ++port) {
    Session c(p, {.ipv6 = port % 2 == 0, .client_port = static_cast<std::uint16_t>(40'000 + port)});
    c.open();
    if (port % 4 == 0) {
      c.close();
      continue;
    }
  }
  p.advance(59'000);
  p.to_server.clear();  // ACKs of handshakes, repeated to a server that says nothing
  for (std::uint16_t port = 41; port <= 50; ++port) {
    Session c(p, {.client_port = static_cast<std::uint16_t>(40'000 + port)});
    c.open();
  }
  p.advance(3'000);  // the closed ones are gone
  p.to_server.clear();
  for (const std::uint32_t looks : {1U, 3U, 1000U}) {
    std::vector<std::uint16_t> ports;
    for (const FlowInfo& f : p.shown(looks)) {
      EXPECT_NE(f.state, 0);
      ports.push_back(f.client_port);
    }
    EXPECT_EQ(ports.size(), p.flows());
    EXPECT_EQ(ports.size(), 40U);
    std::ranges::sort(ports);
    EXPECT_EQ(std::ranges::adjacent_find(ports), ports.end());
  }
}

TEST(DeletedFlow, ResetsBothEndsAtTheirExactNumbers) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("hello");
  c.server_sends("world");
  ASSERT_TRUE(p.delete_flow(only(p)));
  const DecodedFrame to_client = p.take_client();
  EXPECT_EQ(to_client.flags & kRst, kRst);
  EXPECT_EQ(to_client.seq, c.seen_by_client(c.server_nxt));
  const DecodedFrame to_server = p.take_server();
  EXPECT_EQ(to_server.flags & kRst, kRst);
  EXPECT_EQ(to_server.seq, c.client_nxt);
  EXPECT_EQ(p.count(Reason::conn_deleted), 1U);
  EXPECT_EQ(only(p).state, static_cast<std::uint8_t>(FlowState::kTombstone));
  // An end that has missed its RST gets another one.
  p.from_client(c.client(kAck | kPsh).payload("still there?").build());
  EXPECT_EQ(p.take_client().flags & kRst, kRst);
  p.expect_quiet();
  p.expect_empty_after(70'000);
}

TEST(DeletedFlow, AHandshakeIsGivenUpAndItsEarlyDataFreed) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  p.from_client(c.client(kAck | kPsh).payload("early").build());
  EXPECT_EQ(p.early_buffers(), 1U);
  p.to_server.clear();
  const FlowInfo f = only(p);
  EXPECT_EQ(f.state, static_cast<std::uint8_t>(FlowState::kSynSent));
  EXPECT_EQ(f.delta, 0U) << "not known yet";
  ASSERT_TRUE(p.delete_flow(f));
  EXPECT_EQ(p.take_client().flags & kRst, kRst);
  EXPECT_EQ(p.take_server().flags & kRst, kRst);
  EXPECT_EQ(p.early_buffers(), 0U);
  p.expect_quiet();
  p.expect_empty_after(70'000);
}

TEST(DeletedFlow, AFinishedOneGoesWithoutAWord) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.close();
  ASSERT_TRUE(p.delete_flow(only(p)));
  p.expect_quiet();
  EXPECT_EQ(p.flows(), 0U);
}

TEST(DeletedFlow, AServersOwnSynIsRefusedToIt) {
  ProxyHarness p({.protect = {"203.0.113.10"}});
  PacketBuilder syn;
  syn.macs(kServerMac, kClientMac).ip("203.0.113.10", "198.51.100.7").ports(33'333, 443);
  p.from_server(syn.seq(1'000).flags(kSyn).window(0xffff).mss(1460).build());
  p.to_client.clear();
  const FlowInfo f = only(p);
  EXPECT_EQ(f.state, static_cast<std::uint8_t>(FlowState::kPassed));
  EXPECT_EQ(f.delta, 0U);
  EXPECT_EQ(f.ts_delta, 0U) << "what the SYN showed is no delta";
  ASSERT_TRUE(p.delete_flow(f));
  const DecodedFrame rst = p.take_server();
  EXPECT_EQ(rst.flags, kRst | kAck);
  EXPECT_EQ(rst.ack, 1'001U);
  p.to_client.clear();
  p.expect_empty_after(70'000);
}

TEST(DeletedFlow, WhoseRecordIsAnothersByNowIsLeftAlone) {
  ProxyHarness p;
  EXPECT_FALSE(p.delete_flow(0, {}));
  EXPECT_FALSE(p.delete_flow(kNoFlow, {}));
  Session c(p);
  c.open();
  const FlowInfo shown = only(p);
  FlowKey other = shown.key();
  ++other.client_port;
  EXPECT_FALSE(p.delete_flow(shown.index, other));
  EXPECT_FALSE(p.delete_flow(shown.index + 1, shown.key()));
  EXPECT_EQ(p.count(Reason::conn_deleted), 0U);
  p.expect_quiet();
  EXPECT_EQ(only(p).state, static_cast<std::uint8_t>(FlowState::kEstablished));
  ASSERT_TRUE(p.delete_flow(shown));
  p.to_client.clear();
  p.to_server.clear();
  p.advance(70'000);
  EXPECT_FALSE(p.delete_flow(shown)) << "its record is free";
}

}  // namespace
}  // namespace synproxy::test
