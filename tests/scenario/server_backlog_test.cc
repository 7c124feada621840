// SPDX-License-Identifier: BSD-3-Clause
// --server-backlog: how many connections ask the server at once, who waits, and whose turn it is.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/session.h"
#include "synproxy/policy/server_places.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions bounded(const ServerBacklog& backlog, std::uint8_t monitored = 0) {
  HarnessOptions h;
  h.engine.tuning.limits.backlog = backlog;
  h.engine.tuning.limits.monitored = monitored;
  return h;
}
ServerBacklog at_most(std::uint32_t n) { return {.connections = n, .learned = false, .mask = {}}; }
constexpr ServerBacklog kAuto{.connections = 0, .learned = true, .mask = {}};

// Connection `n` of client `who`. The two tell each other apart by their ISNs.
SessionOptions of(std::uint32_t who, std::uint32_t n, bool ipv6 = false) {
  SessionOptions o;
  o.ipv6 = ipv6;
  o.client =
      (ipv6 ? "2001:db8:1:" + std::to_string(who) + "::1"
            : "198.51." + std::to_string(100 + who / 250) + "." + std::to_string(1 + who % 250));
  o.client_port = static_cast<std::uint16_t>(20000 + n);
  o.client_isn = 0x01000000 + who * 0x10000 + n * 0x100;
  return o;
}
std::uint32_t isn(std::uint32_t who, std::uint32_t n) { return of(who, n).client_isn; }

// Proves its address; what goes to the server stays in the harness's queue.
Session proven(ProxyHarness& p, const SessionOptions& o) {
  Session s(p, o);
  s.syn();
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  return s;
}
Session waiting(ProxyHarness& p, const SessionOptions& o) {
  Session s = proven(p, o);
  p.expect_quiet();
  return s;
}
Session asked(ProxyHarness& p, const SessionOptions& o) {
  Session s(p, o);
  s.syn();
  s.ack();
  return s;
}
// The server answers; returns the ISN of the SYN that this lets go, 0: none.
std::uint32_t answer(ProxyHarness& p, Session& s) {
  s.syn_ack();
  if (p.to_server.empty()) return 0;
  const DecodedFrame next = p.take_server();
  EXPECT_EQ(next.flags, kSyn);
  p.expect_quiet();
  return next.seq;
}
// How often each ISN was asked for.
std::map<std::uint32_t, unsigned> syns(ProxyHarness& p) {
  std::map<std::uint32_t, unsigned> found;
  while (!p.to_server.empty()) {
    const DecodedFrame f = p.take_server();
    if (f.flags == kSyn) ++found[f.seq];
  }
  return found;
}

class BacklogOfBothFamilies : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Family, BacklogOfBothFamilies, ::testing::Bool());

TEST_P(BacklogOfBothFamilies, WhatIsAboveWaitsEstablishedAndGoesOnAsPlacesComeFree) {
  ProxyHarness p(bounded(at_most(2)));
  Session a = asked(p, of(1, 0, GetParam()));
  Session b = asked(p, of(2, 0, GetParam()));
  Session c = waiting(p, of(3, 0, GetParam()));
  EXPECT_EQ(p.count(Reason::backlog_waited), 1U);
  EXPECT_EQ(p.counters().flows_waiting.get(), 1U);
  EXPECT_EQ(p.counters().flows_embryonic.get(), 3U);
  EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("GET /").build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  p.advance(150);
  p.expect_quiet();
  EXPECT_EQ(answer(p, b), c.o.client_isn);
  EXPECT_EQ(p.counters().flows_waiting.get(), 0U);
  c.syn_ack();
  EXPECT_EQ(p.take_server().text(), "GET /");
  EXPECT_EQ(answer(p, a), 0U);
  a.client_sends("served, too");
}

TEST_P(BacklogOfBothFamilies, AServiceHasABoundOfItsOwn) {
  HarnessOptions h = bounded(at_most(1));
  h.protect = {"203.0.113.10:80-81", "203.0.113.11:80", "[2001:db8::10]:80-81",
               "[2001:db8::11]:80"};
  ProxyHarness p(h);
  SessionOptions o = of(1, 0, GetParam());
  Session a = asked(p, o);
  o.client_port++;
  o.server_port = 81;
  Session port = asked(p, o);
  o.server_port = 80;
  o.client_port++;
  o.server = GetParam() ? "2001:db8::11" : "203.0.113.11";
  Session address = asked(p, o);
  o.tags = {{7, kEtherTypeVlan}};
  Session vlan = asked(p, o);
  Session over = waiting(p, of(2, 0, GetParam()));
  EXPECT_EQ(answer(p, a), over.o.client_isn);
}

TEST_P(BacklogOfBothFamilies, TheFirstOfEachSourceComesBeforeTheSecondOfAny) {
  ProxyHarness p(bounded(at_most(1)));
  const bool six = GetParam();
  std::map<std::uint32_t, Session> all;
  const auto add = [&](std::uint32_t who, std::uint32_t n, bool first = false) {
    all.emplace(isn(who, n), first ? asked(p, of(who, n, six)) : waiting(p, of(who, n, six)));
  };
  add(1, 0, true);
  for (std::uint32_t n = 1; n < 4; ++n) add(1, n);
  add(2, 0);
  add(2, 1);
  add(3, 0);
  std::vector<std::uint32_t> turns;
  for (std::uint32_t at = isn(1, 0); at != 0; at = answer(p, all.at(at))) turns.push_back(at);
  EXPECT_EQ(turns, (std::vector<std::uint32_t>{isn(1, 0), isn(2, 0), isn(3, 0), isn(1, 1),
                                               isn(2, 1), isn(1, 2), isn(1, 3)}));
}

TEST(ServerBacklog, AMaskMakesNeighboursOneSource) {
  ServerBacklog b = at_most(1);
  b.mask = {.ipv4 = 24, .ipv6 = 48};
  ProxyHarness p(bounded(b));
  Session x = asked(p, of(1, 0));
  Session neighbour = waiting(p, of(2, 0));
  Session stranger = waiting(p, of(260, 0));
  EXPECT_EQ(answer(p, x), stranger.o.client_isn);
}

TEST(ServerBacklog, ATurnIsForgottenInTime) {
  ProxyHarness p(bounded(at_most(1)));
  for (std::uint32_t n = 0; n < 3; ++n) Session(p, of(1, n)).open();
  p.advance(3 * ServerPlaces::kTurnMs);
  p.to_server.clear();
  Session x = asked(p, of(9, 0));
  Session a = waiting(p, of(1, 7));
  Session b = waiting(p, of(2, 0));
  EXPECT_EQ(answer(p, x), a.o.client_isn) << "it came first, and has had its turns long ago";
}

TEST(ServerBacklog, AWaitOfMoreThanTheServerTimeoutEndsInAReset) {
  ProxyHarness p(bounded(at_most(1)));
  Session x = asked(p, of(1, 0));
  std::vector<Session> others;
  for (std::uint32_t who = 2; who < 32; ++who) others.push_back(waiting(p, of(who, 0)));
  p.advance(12'000);
  const std::uint64_t unheard = p.count(Reason::backlog_expired);
  EXPECT_EQ(unheard + p.count(Reason::conn_timed_out), 31U);
  EXPECT_EQ(p.count(Reason::rst_to_client), 31U);
  // The server hears of nobody whom it was not asked for, and never more than two SYNs a second.
  const std::uint64_t total = p.count(Reason::syn_to_server);
  EXPECT_LE(total, 25U);
  EXPECT_EQ(p.count(Reason::rst_to_server), 31U - unheard);
  EXPECT_GE(unheard, 22U);
  EXPECT_EQ(syns(p).size(), 31U - unheard);
  EXPECT_EQ(p.take_client().flags, kRst | kAck);
  p.to_client.clear();
  EXPECT_EQ(p.counters().flows_waiting.get(), 0U);
}

// A filter of the server may drop some sources without a word.
TEST(ServerBacklog, WhomTheServerDoesNotAnswerKeepsNobodyOut) {
  ProxyHarness p(bounded(at_most(1)));
  Session silent = asked(p, of(1, 0));
  Session other = waiting(p, of(2, 0));
  p.advance(1399);
  EXPECT_EQ(syns(p).size(), 1U);
  p.advance(2);
  EXPECT_EQ(syns(p), (std::map<std::uint32_t, unsigned>{{other.o.client_isn, 1U}}));
  EXPECT_EQ(p.count(Reason::backlog_yielded), 1U);
  EXPECT_EQ(answer(p, other), silent.o.client_isn) << "and gets another turn";
  EXPECT_EQ(answer(p, silent), 0U);
  silent.client_sends("late, but served");
  EXPECT_EQ(p.count(Reason::service_doubted), 0U);
}

TEST(ServerBacklog, ALateAnswerToOneThatGaveItsPlaceUpIsTaken) {
  ProxyHarness p(bounded(at_most(1)));
  Session a = asked(p, of(1, 0));
  Session b = waiting(p, of(2, 0));
  p.advance(1500);
  p.to_server.clear();
  EXPECT_EQ(answer(p, a), 0U);
  EXPECT_EQ(p.counters().flows_waiting.get(), 0U);
  a.client_sends("served");
  EXPECT_EQ(answer(p, b), 0U);
}

// Whoever is served shows that the service lives, whomever it leaves waiting.
TEST(ServerBacklog, AServiceThatAnswersOthersIsNotInDoubt) {
  ProxyHarness p(bounded(at_most(4)));
  Session silent = asked(p, of(1, 0));
  for (std::uint32_t n = 0; n < 4; ++n) {
    p.advance(500);
    p.to_server.clear();
    Session(p, of(2, n)).open();
  }
  EXPECT_EQ(p.count(Reason::service_doubted), 0U);
  p.advance(1500);
  EXPECT_EQ(p.count(Reason::service_doubted), 1U) << "nobody was answered since";
  p.to_server.clear();
}

TEST(ServerBacklog, WhoEverLeavesWhileItWaitsIsForgottenQuietly) {
  ProxyHarness p(bounded(at_most(1)));
  Session x = asked(p, of(1, 0));
  Session aborts = waiting(p, of(2, 0));
  Session deleted = waiting(p, of(3, 0));
  Session begins_anew = waiting(p, of(4, 0));
  Session last = waiting(p, of(5, 0));
  EXPECT_EQ(p.from_client(aborts.client(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::conn_aborted), 1U);
  for (const FlowInfo& flow : p.shown()) {
    const bool is_it = flow.key().client[3] == 1 + 3;
    if (is_it) {
      EXPECT_TRUE(p.delete_flow(flow));
    }
  }
  EXPECT_EQ(p.count(Reason::conn_deleted), 1U);
  EXPECT_EQ(p.take_client().flags, kRst | kAck);
  SessionOptions o = begins_anew.o;
  o.client_isn += 0x40000000;
  Session anew = waiting(p, o);
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
  EXPECT_EQ(p.count(Reason::rst_to_server), 0U) << "the server knows none of them";
  EXPECT_EQ(p.counters().flows_waiting.get(), 2U);
  EXPECT_EQ(answer(p, x), last.o.client_isn);
  EXPECT_EQ(answer(p, last), anew.o.client_isn);
}

TEST(ServerBacklog, WhatTheServerHasOfAnOlderConnectionAsksForNothing) {
  ProxyHarness p(bounded(at_most(1)));
  Session x = asked(p, of(1, 0));
  Session w = waiting(p, of(2, 0));
  EXPECT_EQ(p.from_server(w.server().ack(12345).build()), Verdict::kDrop);
  p.expect_quiet();
  EXPECT_EQ(answer(p, x), w.o.client_isn);
}

TEST(ServerBacklog, ARefusalGivesThePlaceBack) {
  ProxyHarness p(bounded(at_most(1)));
  Session x = asked(p, of(1, 0));
  Session w = waiting(p, of(2, 0));
  EXPECT_EQ(
      p.from_server(x.from_server().seq(0).ack(x.o.client_isn + 1).flags(kRst | kAck).build()),
      Verdict::kDrop);
  EXPECT_EQ(p.take_client().flags, kRst | kAck);
  EXPECT_EQ(p.take_server().seq, w.o.client_isn);
}

TEST(ServerBacklog, AMonitoredRuleCountsWhoWouldWait) {
  ProxyHarness p(bounded(at_most(1), kMonitorServerBacklog));
  for (std::uint32_t who = 0; who < 5; ++who) static_cast<void>(asked(p, of(who, 0)));
  EXPECT_EQ(p.count(Reason::backlog_monitored), 4U);
  EXPECT_EQ(p.count(Reason::backlog_waited), 0U);
}

TEST(ServerBacklog, AllowedSourcesNeverWait) {
  ProxyHarness p(bounded(at_most(1)));
  const std::vector<Prefix> allowed_prefix{parse_prefix("198.51.100.3")};
  const SourceLists lists = make_source_lists(allowed_prefix, {}, false);
  p.use_lists(&lists);
  Session x = asked(p, of(1, 0));
  Session w = waiting(p, of(4, 0));
  Session allowed = asked(p, of(2, 0));
  EXPECT_EQ(answer(p, x), 0U) << "its place is still taken by the allowed one";
  EXPECT_EQ(answer(p, allowed), w.o.client_isn);
  p.use_lists(nullptr);
}

TEST(ServerBacklog, AppliesFromTheNextBurstOnAndLetsAllGoWhenItEnds) {
  HarnessOptions h;
  ProxyHarness p(h);
  EngineTuning t = h.engine.tuning;
  Session before = asked(p, of(1, 0));
  t.limits.backlog = at_most(1);
  p.retune(t);
  Session first = asked(p, of(2, 0));
  std::vector<Session> rest;
  for (std::uint32_t who = 3; who < 9; ++who) rest.push_back(waiting(p, of(who, 0)));
  EXPECT_EQ(answer(p, before), 0U) << "it was not counted";
  t.limits.backlog = at_most(3);
  p.retune(t);
  p.advance(1);
  EXPECT_EQ(syns(p).size(), 2U);
  t.limits.backlog = {};
  p.retune(t);
  p.advance(1);
  EXPECT_EQ(syns(p).size(), 4U);
  EXPECT_EQ(p.counters().flows_waiting.get(), 0U);
  static_cast<void>(asked(p, of(10, 0)));
}

TEST(ServerBacklog, AutoHalvesItsBoundWhenTheServerIsSilentOnceForAll) {
  ProxyHarness p(bounded(kAuto));
  std::vector<Session> all;
  for (std::uint32_t who = 0; who < 300; ++who) all.push_back(proven(p, of(who, 0)));
  EXPECT_EQ(syns(p).size(), ServerPlaces::kFirstBound);
  p.advance(700);
  EXPECT_EQ(p.count(Reason::backlog_halved), 1U);
  p.to_server.clear();
  // Half as many as before, and one more for as many answers.
  for (std::uint32_t n = 0; n < 63; ++n) EXPECT_EQ(answer(p, all[n]), 0U);
  EXPECT_EQ(answer(p, all[63]), all[128].o.client_isn);
}

TEST(ServerBacklog, EveryConnectionIsServedInTheEnd) {
  HarnessOptions h = bounded(at_most(3));
  ProxyHarness p(h);
  std::map<std::uint32_t, Session> all;
  for (std::uint32_t n = 0; n < 400; ++n) {
    Session s = proven(p, of(n % 40, n / 40));
    all.emplace(s.o.client_isn, std::move(s));
  }
  unsigned served = 0;
  while (!p.to_server.empty()) {
    EXPECT_LE(p.to_server.size(), 3U);
    const DecodedFrame syn = p.take_server();
    EXPECT_EQ(syn.flags, kSyn);
    Session& s = all.at(syn.seq);
    EXPECT_EQ(p.from_server(s.syn_ack_frame()), Verdict::kReply);
    while (!p.to_server.empty() && decode(p.to_server.front())->flags != kAck) {
      p.to_server.push_back(p.to_server.front());
      p.to_server.pop_front();
    }
    EXPECT_EQ(p.take_server().flags, kAck);
    ++served;
  }
  EXPECT_EQ(served, 400U);
  EXPECT_EQ(p.counters().flows_waiting.get(), 0U);
}

}  // namespace
}  // namespace synproxy
