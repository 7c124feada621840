// SPDX-License-Identifier: BSD-3-Clause
// A full table, eviction, forged and replayed ACKs, and the life of a cookie.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions flows(std::uint32_t n) {
  HarnessOptions h;
  h.engine.shape.max_flows = n;
  return h;
}

SessionOptions on_port(std::uint32_t port) {
  SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(port);
  o.client_isn = port * 0x10001;
  return o;
}

// Opens connections until the table takes no more; returns them.
std::vector<std::unique_ptr<Session>> fill(ProxyHarness& p) {
  std::vector<std::unique_ptr<Session>> all;
  for (std::uint32_t i = 0; p.count(Reason::table_full) == 0; ++i) {
    if (i > 5000) {
      ADD_FAILURE() << "the table never fills";
      break;
    }
    auto c = std::make_unique<Session>(p, on_port(1000 + i));
    c->syn();
    p.from_client(c->ack_frame());
    if (p.count(Reason::table_full) != 0) {
      const DecodedFrame rst = p.take_client();
      EXPECT_TRUE(rst.has(kRst)) << "a RST, not silence";
      EXPECT_EQ(rst.seq, c->cookie + 1);
      break;
    }
    EXPECT_EQ(p.take_server().flags, kSyn);
    c->syn_ack();
    all.push_back(std::move(c));
  }
  p.expect_quiet();
  return all;
}

TEST(Limits, FullTableRefusesTheNewcomerAndKeepsTheOld) {
  ProxyHarness p(flows(64));
  const auto all = fill(p);
  EXPECT_GE(all.size(), 64U);
  EXPECT_EQ(p.counters().flows_established.get(), all.size());
  for (const auto& c : all) c->client_sends("alive");
  for (const auto& c : all) c->server_sends("alive");
  EXPECT_EQ(p.count(Reason::flow_evicted), 0U);
  // SYNs need no room.
  Session other(p, on_port(60000));
  other.syn();
}

TEST(Limits, FinishedFlowGoesFirst) {
  ProxyHarness p(flows(64));
  const auto all = fill(p);
  all[10]->close();
  Session next(p, on_port(60000));
  next.open();
  EXPECT_EQ(p.count(Reason::flow_evicted), 1U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i != 10) all[i]->client_sends("alive");
  }
  next.client_sends("too");
}

TEST(Limits, EmbryonicFlowGoesWhenNothingIsFinished) {
  ProxyHarness p(flows(64));
  const auto all = fill(p);
  all[3]->close();
  Session embryo(p, on_port(60000));
  embryo.syn();
  embryo.ack();
  Session next(p, on_port(60001));
  next.syn();
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.count(Reason::flow_evicted), 2U);
  const DecodedFrame to_client = p.take_client();
  EXPECT_TRUE(to_client.has(kRst));
  EXPECT_EQ(to_client.seq, embryo.cookie + 1);
  const DecodedFrame to_server = p.take_server();
  EXPECT_TRUE(to_server.has(kRst));
  EXPECT_EQ(to_server.seq, embryo.o.client_isn + 1) << "no half-open connection stays behind";
  EXPECT_EQ(p.take_server().flags, kSyn);
  next.syn_ack();
  next.client_sends("x");
}

TEST(Limits, EarlyDataOfAnEvictedFlowIsFreed) {
  ProxyHarness p(flows(64));
  const auto all = fill(p);
  all[3]->close();
  Session embryo(p, on_port(60000));
  embryo.syn();
  embryo.ack();
  p.from_client(embryo.client().payload("held").build());
  EXPECT_GT(p.early_buffers(), 0U);
  Session next(p, on_port(60001));
  next.syn();
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.early_buffers(), 0U);
  p.to_client.clear();
  p.to_server.clear();
}

TEST(Limits, LateCopyOfTheAckOfAnEvictedFlowOpensNothing) {
  for (const bool timestamps : {false, true}) {
    ProxyHarness p(flows(64));
    auto all = fill(p);
    SessionOptions o = on_port(50000);
    o.timestamps = timestamps;
    all[0]->close();
    Session c(p, o);
    c.syn();
    const Bytes late = c.ack_frame();
    c.ack();
    c.syn_ack();
    c.close();
    Session next(p, on_port(60000));
    next.open();  // evicts it
    next.close();
    EXPECT_EQ(p.from_client(late), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::cookie_replayed), 1U);
    p.expect_quiet();
  }
}

TEST(Limits, ForgedAcksMakeNoStateAndNoAnswer) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    SessionOptions o;
    o.ipv6 = ipv6;
    std::uint32_t x = 12345;
    for (int i = 0; i < 2000; ++i) {
      x = x * 1664525 + 1013904223;
      o.client_port = static_cast<std::uint16_t>(x >> 16);
      o.client_isn = x;
      o.timestamps = i % 2 == 0;
      Session c(p, o);
      c.cookie = x * 2654435761U;
      c.our_tsval = ~x;
      EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    }
    EXPECT_EQ(p.count(Reason::cookie_invalid), 2000U);
    EXPECT_EQ(p.flows(), 0U);
    p.expect_quiet();
  }
}

TEST(Limits, EveryBitOfTheCookieCounts) {
  for (const bool timestamps : {false, true}) {
    ProxyHarness p;
    SessionOptions o;
    o.timestamps = timestamps;
    Session c(p, o);
    c.syn();
    const Session good = c;
    for (int bit = 0; bit < 32; ++bit) {
      c.cookie = good.cookie ^ 1U << bit;
      EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
      c.cookie = good.cookie;
      c.o.client_isn = good.o.client_isn ^ 1U << bit;
      EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
      c.o.client_isn = good.o.client_isn;
      if (timestamps) {
        c.our_tsval = good.our_tsval ^ 1U << bit;
        EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
        c.our_tsval = good.our_tsval;
      }
      if (bit < 16) {
        c.o.client_port = static_cast<std::uint16_t>(good.o.client_port ^ 1U << bit);
        EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
        c.o.client_port = good.o.client_port;
      }
    }
    c.o.client = "198.51.100.8";
    EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    c.o.client = good.o.client;
    EXPECT_EQ(p.count(Reason::cookie_valid), 0U);
    EXPECT_EQ(p.count(Reason::cookie_invalid), 32U * (timestamps ? 3 : 2) + 17);
    c.ack();
  }
}

TEST(Limits, AckWithABadChecksumOpensNothing) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  EXPECT_EQ(p.from_client(c.client().break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  EXPECT_EQ(p.flows(), 0U);
  EXPECT_EQ(p.from_client(PacketBuilder().flags(kSyn).break_ip_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 2U);
}

struct LifeRow {
  const char* sentence;
  std::uint64_t made_ms;  // into an epoch of 64 s
  std::uint64_t used_ms;  // later
  bool valid;
};

TEST(Limits, CookieLivesHalfAnEpochAtLeastAndOneAndAHalfAtMost) {
  const LifeRow rows[] = {
      {"at once", 0, 1, true},
      {"within its epoch", 0, 63'000, true},
      {"first half of the next epoch", 0, 95'000, true},
      {"second half of the next epoch", 0, 96'001, false},
      {"made at the very end of an epoch", 63'999, 32'000, true},
      {"made at the very end, too late", 63'999, 32'002, false},
      {"over the boundary mid-handshake", 63'990, 20, true},
      {"two epochs later the parity is its own again, the key is not", 0, 128'001, false},
      {"four epochs later", 0, 256'001, false},
  };
  for (const bool timestamps : {false, true}) {
    for (const LifeRow& row : rows) {
      for (const std::uint64_t epoch : {0U, 1U}) {  // of either parity
        SCOPED_TRACE(row.sentence);
        ProxyHarness p;
        p.advance(epoch * 64'000 + row.made_ms);
        SessionOptions o;
        o.timestamps = timestamps;
        Session c(p, o);
        c.syn();
        p.advance(row.used_ms);
        p.from_client(c.ack_frame());
        EXPECT_EQ(p.count(Reason::cookie_valid), row.valid ? 1U : 0U);
        p.to_server.clear();
      }
    }
  }
}

TEST(Limits, RotationMidConnectionChangesNothingForIt) {
  ProxyHarness p;
  p.advance(63'990);
  Session c(p);
  c.syn();
  p.advance(20);
  c.ack();
  p.advance(50);
  c.syn_ack();
  for (int i = 0; i < 4; ++i) {
    c.client_sends("x");
    c.server_sends("y");
    p.advance(64'000);
  }
}

TEST(Limits, AnotherProxyWithTheSameSecretAcceptsTheCookie) {
  ProxyHarness first;
  Session c(first);
  c.syn();
  const Bytes ack = c.ack_frame();
  ProxyHarness second;
  second.advance(10'000);
  EXPECT_EQ(second.from_client(ack), Verdict::kDrop);
  EXPECT_EQ(second.count(Reason::cookie_valid), 1U);
  second.to_server.clear();
  HarnessOptions h;
  h.secret = 2;
  ProxyHarness foreign(h);
  EXPECT_EQ(foreign.from_client(ack), Verdict::kDrop);
  EXPECT_EQ(foreign.count(Reason::cookie_invalid), 1U);
}

TEST(Limits, CookieOfOneVlanMakesItsFlowInTheVlanOfTheAck) {
  ProxyHarness p;
  Session a(p, {.tags = {{1, 0x8100}}});
  Session b(p, {.tags = {{2, 0x8100}}, .server_isn = 0x5555});
  a.open();
  b.open();
  EXPECT_EQ(p.flows(), 2U) << "the same addresses and ports, two connections";
  a.client_sends("a");
  b.client_sends("b");
  a.server_sends("A");
  b.server_sends("B");
}

}  // namespace
}  // namespace synproxy
