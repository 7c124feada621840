// SPDX-License-Identifier: BSD-3-Clause
// --limit-rate and --limit-conns: who is refused, what it costs, and what is never charged.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::uint32_t kBurst = 3;

LimitTuning rate(std::uint32_t per_second, std::uint32_t burst) {
  LimitTuning t;
  t.rate.limits[0] = {.connections = per_second, .period_ms = 1000, .burst = burst, .mask = {}};
  t.rate.count = 1;
  return t;
}
LimitTuning conns(std::uint32_t n, SourceMask mask = {}) {
  LimitTuning t;
  t.conns.limits[0] = {.connections = n, .mask = mask};
  t.conns.count = 1;
  return t;
}
HarnessOptions with(const LimitTuning& limits) {
  HarnessOptions h;
  h.engine.tuning.limits = limits;
  return h;
}
SessionOptions from(std::uint32_t n, bool ipv6 = false, const std::string& client = {}) {
  SessionOptions o;
  o.ipv6 = ipv6;
  o.client = client;
  o.client_port = static_cast<std::uint16_t>(40000 + n);
  o.client_isn = 0x1000000 + n * 0x10001;
  return o;
}

// The SYN is answered; the ACK is refused, and nothing is sent for it.
void expect_refused(ProxyHarness& p, Session& s, Reason why) {
  const std::uint64_t before = p.count(why);
  s.syn();
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(why), before + 1);
  p.expect_quiet();
}

class BothFamilies : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Family, BothFamilies, ::testing::Bool());

TEST_P(BothFamilies, TheBurstIsServedAndThenTheRate) {
  ProxyHarness p(with(rate(10, kBurst)));
  for (std::uint32_t n = 0; n < kBurst; ++n) Session(p, from(n, GetParam())).open();
  Session next(p, from(9, GetParam()));
  expect_refused(p, next, Reason::limit_rate);
  EXPECT_EQ(p.flows(), kBurst);
  // What was refused and comes again is no new connection. A bare ACK as well as one with data.
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(p.from_client(next.client().payload("GET").build()), Verdict::kDrop);
  }
  p.expect_quiet();
  p.advance(101);
  next.ack();
  next.syn_ack();
  next.client_sends("served after all");
  EXPECT_EQ(p.count(Reason::limit_rate), 41U);
}

TEST_P(BothFamilies, ASynCostsNothing) {
  ProxyHarness p(with(rate(1, 1)));
  for (std::uint32_t n = 1; n < 50; ++n) Session(p, from(n, GetParam())).syn();
  Session(p, from(0, GetParam())).open();
}

TEST_P(BothFamilies, NeitherDoesAForgedAckOrALateCopy) {
  ProxyHarness p(with(rate(1, 2)));
  Session s(p, from(0, GetParam()));
  s.open();
  static_cast<void>(p.from_client(s.ack_frame()));  // a copy on its flow
  p.to_server.clear();
  Session forged(p, from(1, GetParam()));
  forged.cookie = 0x12345678;
  EXPECT_EQ(p.from_client(forged.ack_frame()), Verdict::kDrop);
  Session(p, from(2, GetParam())).open();
  EXPECT_EQ(p.count(Reason::limit_rate), 0U);
}

TEST(SourceLimits, AClientThatIsResetKnowsAtOnce) {
  LimitTuning t = rate(1, 1);
  t.action = LimitAction::kReset;
  ProxyHarness p(with(t));
  Session(p, from(0)).open();
  Session next(p, from(1));
  next.syn();
  EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kReply);
  const DecodedFrame rst = p.take_client();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, next.cookie + 1);
  EXPECT_EQ(p.count(Reason::limit_rate), 1U);
  EXPECT_EQ(p.count(Reason::rst_to_client), 1U);
  EXPECT_EQ(p.flows(), 1U);
  p.expect_quiet();
}

TEST_P(BothFamilies, AConnectionCountsUntilItIsClosed) {
  ProxyHarness p(with(conns(2)));
  Session one(p, from(1, GetParam()));
  Session two(p, from(2, GetParam()));
  Session three(p, from(3, GetParam()));
  one.open();
  two.syn();
  two.ack();  // counts while the server is silent, too
  expect_refused(p, three, Reason::limit_conns);
  one.close();
  three.ack();
  EXPECT_EQ(p.from_client(Session(p, from(1, GetParam())).ack_frame()), Verdict::kDrop);
  Session four(p, from(4, GetParam()));
  expect_refused(p, four, Reason::limit_conns);
}

TEST_P(BothFamilies, AResetEndsTheCountAtOnce) {
  ProxyHarness p(with(conns(1)));
  for (std::uint32_t n = 0; n < 5; ++n) {
    Session s(p, from(n, GetParam()));
    s.open();
    n % 2 == 0 ? s.client_sends("", kRst | kAck) : s.server_sends("", kRst | kAck);
  }
  EXPECT_EQ(p.count(Reason::limit_conns), 0U);
}

// What has ended counts no more, even if the rest of its burst is still to be decided.
TEST_P(BothFamilies, ANewConnectionInTheBurstThatEndsTheOldOneIsLetIn) {
  ProxyHarness p(with(conns(1)));
  Session one(p, from(1, GetParam()));
  one.open();
  Session two(p, from(2, GetParam()));
  Session three(p, from(3, GetParam()));
  two.syn();
  three.syn();
  p.feed_burst(Role::kClient, {two.ack_frame(), one.client(kRst | kAck).build(), two.ack_frame(),
                               three.ack_frame()});
  EXPECT_EQ(p.count(Reason::limit_conns), 2U) << "before it ends, and when its place is taken";
  ASSERT_TRUE(p.record(two.ack_frame()).has_value());
  EXPECT_EQ(p.record(two.ack_frame())->state(), FlowState::kSynSent);
  EXPECT_FALSE(p.record(three.ack_frame()).has_value());
}

// A RST that only the proxy has seen would otherwise open one connection more, each time.
TEST_P(BothFamilies, AConnectionThatComesBackAfterAResetCountsAgain) {
  ProxyHarness p(with(conns(1)));
  Session s(p, from(0, GetParam()));
  s.open();
  s.client_sends("", kRst | kAck);
  ASSERT_EQ(p.record(s.ack_frame())->state(), FlowState::kClosing);
  p.advance(1100);
  s.client_sends("still here");
  s.server_sends("so am I");
  ASSERT_EQ(p.record(s.ack_frame())->state(), FlowState::kEstablished);
  Session other(p, from(1, GetParam()));
  expect_refused(p, other, Reason::limit_conns);
  s.client_sends("", kRst | kAck);
  other.ack();
}

TEST_P(BothFamilies, AHandshakeThatTheServerRefusesCountsNoMore) {
  ProxyHarness p(with(conns(1)));
  Session s(p, from(0, GetParam()));
  s.syn();
  s.ack();
  static_cast<void>(p.from_server(s.server(kRst | kAck).seq(0).ack(s.o.client_isn + 1).build()));
  EXPECT_EQ(p.count(Reason::conn_refused), 1U);
  p.to_client.clear();
  Session next(p, from(1, GetParam()));
  next.syn();
  if (p.count(Reason::asked) == 0) next.ack();
  EXPECT_EQ(p.count(Reason::limit_conns), 0U);
}

TEST_P(BothFamilies, TheSamePortsAgainNeedNoRoom) {
  ProxyHarness p(with(conns(1)));
  Session old(p, from(0, GetParam()));
  old.open();
  SessionOptions o = from(0, GetParam());
  o.client_isn += 0x20000000;
  o.client_ts += 10'000;
  Session next(p, o);
  next.syn();
  EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
  EXPECT_EQ(p.count(Reason::limit_conns), 0U);
  p.to_server.clear();
  Session other(p, from(5, GetParam()));
  expect_refused(p, other, Reason::limit_conns);
}

// The old connection stays as it is.
TEST_P(BothFamilies, ARefusedSuccessorLeavesTheOldConnection) {
  ProxyHarness p(with(rate(1, 1)));
  Session old(p, from(0, GetParam()));
  old.open();
  SessionOptions o = from(0, GetParam());
  o.client_isn += 0x20000000;
  o.client_ts += 10'000;
  Session next(p, o);
  expect_refused(p, next, Reason::limit_rate);
  old.client_sends("still here");
  old.server_sends("so am I");
}

TEST(SourceLimits, WhatFindsNoRoomInTheTableIsNotCharged) {
  HarnessOptions h = with(conns(40));
  h.engine.shape.max_flows = 8;
  ProxyHarness p(h);
  std::vector<std::unique_ptr<Session>> all;
  while (p.count(Reason::table_full) == 0) {
    all.push_back(std::make_unique<Session>(p, from(static_cast<std::uint32_t>(all.size()))));
    all.back()->syn();
    if (p.from_client(all.back()->ack_frame()) == Verdict::kReply) break;
    p.to_server.clear();
    all.back()->syn_ack();
    all.back()->client_sends("x");
  }
  ASSERT_EQ(p.count(Reason::table_full), 1U);
  for (unsigned i = 0; i < 100; ++i) static_cast<void>(p.from_client(all.back()->ack_frame()));
  p.to_client.clear();
  EXPECT_EQ(p.count(Reason::limit_conns), 0U);
  EXPECT_EQ(p.count(Reason::table_full), 101U);
}

TEST(SourceLimits, AMonitoredRuleCountsWhatItWouldDo) {
  LimitTuning t = rate(1, 1);
  t.conns = conns(2).conns;
  t.monitored = kMonitorLimitRate | kMonitorLimitConns;
  ProxyHarness p(with(t));
  for (std::uint32_t n = 0; n < 5; ++n) Session(p, from(n)).open();
  EXPECT_EQ(p.count(Reason::limit_rate_monitored), 4U);
  EXPECT_EQ(p.count(Reason::limit_conns_monitored), 3U);
  EXPECT_EQ(p.count(Reason::limit_rate) + p.count(Reason::limit_conns), 0U);
}

TEST(SourceLimits, ApplyFromTheNextBurstOnAndEndLikewise) {
  ProxyHarness p;
  std::vector<std::unique_ptr<Session>> before;
  for (std::uint32_t n = 0; n < 4; ++n) {
    before.push_back(std::make_unique<Session>(p, from(n)));
    before.back()->open();
  }
  EngineTuning limited = small_engine().tuning;
  limited.limits = conns(1);
  p.retune(limited);
  Session first(p, from(10));
  first.open();  // older ones are not counted
  Session second(p, from(11));
  expect_refused(p, second, Reason::limit_conns);
  p.retune(small_engine().tuning);
  second.ack();
  Session third(p, from(12));
  third.open();
  first.close();
  p.retune(limited);
  Session fourth(p, from(13));
  fourth.open();  // the first was counted and is closed; the others were opened without a limit
}

TEST(SourceLimits, SourcesThatAreOverALimitAreListedMostRefusedFirst) {
  ProxyHarness p(with(conns(1, {.ipv4 = 24, .ipv6 = 64})));
  Session one(p, from(0, false, "192.0.2.1"));
  one.open();
  Session two(p, from(1, false, "192.0.2.2"));
  expect_refused(p, two, Reason::limit_conns);
  for (unsigned i = 0; i < 6; ++i) static_cast<void>(p.from_client(two.ack_frame()));
  Session six(p, from(2, true));
  six.open();
  Session other(p, from(3, true));
  expect_refused(p, other, Reason::limit_conns);
  p.advance(2000);
  const RefusedList list = p.refused();
  ASSERT_EQ(list.count, 2U);
  EXPECT_EQ(list.sources[0].count, 7U);
  EXPECT_EQ(list.sources[0].length, 24);
  EXPECT_EQ(list.sources[0].prefix[2], 2);
  EXPECT_EQ(list.sources[0].prefix[3], 0);
  EXPECT_EQ(list.sources[1].count, 1U);
  EXPECT_TRUE(list.sources[1].ipv6);
  p.advance(62'000);
  EXPECT_EQ(p.refused().count, 0U);
}

// Nothing is left of any connection in the table, however it ended.
TEST(SourceLimits, AllCountsAreGivenBack) {
  ProxyHarness p(with(conns(6)));
  for (unsigned round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Session>> all;
    for (std::uint32_t n = 0; n < 6; ++n) {
      all.push_back(std::make_unique<Session>(p, from(round * 16 + n)));
      all.back()->open();
    }
    Session more(p, from(round * 16 + 15));
    expect_refused(p, more, Reason::limit_conns);
    all[0]->close();
    all[1]->close(true);
    all[2]->client_sends("", kRst | kAck);
    all[3]->server_sends("", kRst | kAck);
    p.expect_empty_after(8'000'000);  // the last two fall silent
    p.to_client.clear();
    p.to_server.clear();
  }
}

}  // namespace
}  // namespace synproxy
