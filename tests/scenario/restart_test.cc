// SPDX-License-Identifier: BSD-3-Clause
// A process dies and another one goes on with its store: at every step of a conversation, and with
// a store in which anything may stand.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions with_store() {
  HarnessOptions h;
  h.store = true;
  h.engine.shape.max_flows = 64;
  h.engine.shape.replays_per_epoch = 1U << 10;
  return h;
}

struct Kind {
  const char* name;
  SessionOptions options;
};
std::vector<Kind> kinds() {
  SessionOptions v6;
  v6.ipv6 = true;
  SessionOptions tagged;
  tagged.tags = {{100, kEtherTypeQinQ}, {7, kEtherTypeVlan}};
  SessionOptions plain;
  plain.timestamps = false;
  plain.client_scale.reset();
  SessionOptions lacks;
  lacks.server_sack = false;
  lacks.server_scale = 3;
  return {{"IPv4", {}},
          {"IPv6", v6},
          {"two VLAN tags", tagged},
          {"plain", plain},
          {"a server that lacks", lacks}};
}

// A whole connection in steps that each check what comes out.
std::vector<std::function<void(Session&)>> conversation() {
  return {[](Session& s) { s.syn(); },
          [](Session& s) { s.ack(); },
          [](Session& s) { s.syn_ack(); },
          [](Session& s) { s.client_sends("GET / HTTP/1.1"); },
          [](Session& s) { s.server_sends("200"); },
          [](Session& s) { s.server_sends(std::string(1000, 'x')); },
          [](Session& s) { s.client_sends("", kAck); },
          [](Session& s) { s.client_sends("", kFin | kAck); },
          [](Session& s) { s.server_sends("", kFin | kAck); },
          [](Session& s) { s.client_sends("", kAck); }};
}

// How one process goes on with another one's connections: it finds its store, or is handed them.
const std::vector<std::pair<const char*, std::function<Found(ProxyHarness&)>>> kWays{
    {"store", [](ProxyHarness& p) { return p.die(); }},
    {"hand-over", [](ProxyHarness& p) { return p.hand_over(64); }},
    {"hand-over to a larger one", [](ProxyHarness& p) { return p.hand_over(4096); }}};

TEST(Restart, AConnectionIsAsOldAsItWas) {
  for (const auto& [way, go_on] : kWays) {
    SCOPED_TRACE(way);
    ProxyHarness p(with_store());
    Session s(p);
    s.open();
    p.advance(30'000);
    p.to_server.clear();  // ACKs of the handshake: the server has not spoken
    s.client_sends("still here");
    EXPECT_EQ(go_on(p).kept, 1U);
    p.advance(2'500);
    const std::vector<FlowInfo> all = p.shown();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].age_seconds, 32U);
  }
}

TEST(Restart, IsNoticedAtNoStepOfAConnection) {
  const auto steps = conversation();
  for (const auto& [way, go_on] : kWays)
    for (const Kind& kind : kinds()) {
      for (std::size_t dies_before = 1; dies_before <= steps.size(); ++dies_before) {
        SCOPED_TRACE(std::string(way) + ", " + kind.name + ", before step " +
                     std::to_string(dies_before));
        ProxyHarness p(with_store());
        Session s(p, kind.options);
        for (std::size_t i = 0; i < steps.size(); ++i) {
          if (i == dies_before) {
            const Found found = go_on(p);
            EXPECT_EQ(found.kept, i < 2 ? 0U : 1U);
            EXPECT_EQ(found.dropped, 0U);
          }
          steps[i](s);
        }
        if (dies_before == steps.size()) go_on(p);
        p.expect_quiet();
        EXPECT_EQ(p.count(Reason::conn_established), 1U);
        EXPECT_EQ(p.count(Reason::conn_finished), 1U);
        p.expect_empty_after(70'000);
      }
    }
}

TEST(Restart, DyingAtEveryStepIsNotNoticedEither) {
  for (const auto& [way, go_on] : kWays)
    for (const Kind& kind : kinds()) {
      SCOPED_TRACE(std::string(way) + ", " + kind.name);
      ProxyHarness p(with_store());
      Session s(p, kind.options);
      for (const auto& step : conversation()) {
        step(s);
        go_on(p);
      }
      p.expect_quiet();
      p.expect_empty_after(70'000);
    }
}

// In adaptive mode an ACK is not looked at while no cookie of its epoch was sent: but those of the
// former process were.
TEST(Restart, CookiesOfAdaptiveModeAreStillGood) {
  for (const bool handed_over : {false, true}) {
    SCOPED_TRACE(handed_over);
    HarnessOptions h = with_store();
    h.engine.shape.max_flows = 4096;
    h.engine.tuning.mode = Mode::kAdaptive;
    h.engine.tuning.adaptive = {.backlog = 100, .syn_rate = 1'000};
    ProxyHarness p(h);
    for (std::uint16_t i = 0; i < 100; ++i) {
      SessionOptions o;
      o.client_port = static_cast<std::uint16_t>(1'000 + i);
      const Session half_open(p, o);
      p.from_client(half_open.syn_frame());
      p.from_server(half_open.syn_ack_frame());
    }
    ASSERT_EQ(p.count(Reason::cookies_began), 1U);
    p.to_client.clear();
    p.to_server.clear();
    Session s(p);
    s.syn();
    handed_over ? p.hand_over(4096) : p.die();
    s.ack();
    s.syn_ack();
    s.client_sends("request");
    EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
  }
}

// In mode off the server resets a client's data that has overtaken its handshake ACK. The cookie
// was the former process's.
TEST(Restart, ARstForAClientOnItsWayIsNotPassed) {
  for (const bool handed_over : {false, true}) {
    ProxyHarness p(with_store());
    Session s(p);
    s.syn();
    handed_over ? p.hand_over(64) : p.die();
    EngineTuning off = with_store().engine.tuning;
    off.mode = Mode::kOff;
    p.retune(off);
    const Bytes ahead = s.client(kAck | kPsh).seq(s.client_nxt + 100).payload("later").build();
    EXPECT_EQ(p.from_client(ahead), Verdict::kForward);
    p.to_server.clear();
    EXPECT_EQ(p.from_server(s.from_server().seq(s.cookie + 1).flags(kRst).build()), Verdict::kDrop);
    s.ack();
    s.syn_ack();
    s.client_sends("request");
  }
}

TEST(Restart, ServerIsAskedAgainAtOnce) {
  ProxyHarness p(with_store());
  Session s(p);
  s.syn();
  const DecodedFrame asked = s.ack();
  p.die();
  p.advance(1);
  const DecodedFrame again = p.take_server();
  EXPECT_EQ(again.flags, asked.flags);
  EXPECT_EQ(again.seq, asked.seq);
  EXPECT_EQ(again.tsval(), asked.tsval());
  EXPECT_EQ(p.counters().flows_embryonic.get(), 1U);
  s.syn_ack();
  s.client_sends("hello");
}

TEST(Restart, SilentServerIsStillGivenUpInTime) {
  ProxyHarness p(with_store());
  Session s(p);
  s.syn();
  s.ack();
  p.advance(6'000);
  p.die();
  p.advance(5'000);  // more than the rest of the ten seconds
  EXPECT_EQ(p.count(Reason::conn_timed_out), 1U);
}

TEST(Restart, EarlyDataComesAgainAndArrivesOnce) {
  ProxyHarness p(with_store());
  Session s(p);
  s.syn();
  s.ack();
  const Bytes data = s.client(kAck | kPsh).payload("early").build();
  p.from_client(data);
  EXPECT_EQ(p.early_buffers(), 1U);
  p.die();
  EXPECT_EQ(p.early_buffers(), 0U);
  p.from_client(data);  // nobody acknowledged it
  EXPECT_EQ(p.early_buffers(), 1U);
  s.syn_ack();
  EXPECT_EQ(p.take_server().text(), "early");
  p.expect_quiet();
}

TEST(Restart, UsedCookiesOpenNothing) {
  for (const auto& [way, go_on] : kWays) {
    SCOPED_TRACE(way);
    HarnessOptions h = with_store();
    h.engine.tuning.close_timeout_ms = 1'000;
    ProxyHarness p(h);
    Session s(p);
    s.syn();
    const Bytes ack = s.ack_frame();
    s.ack();
    s.syn_ack();
    go_on(p);
    EXPECT_EQ(p.from_client(ack), Verdict::kForward) << "a late copy, on its own connection";
    p.to_server.clear();
    s.close();
    p.advance(6'000);
    ASSERT_EQ(p.flows(), 0U);
    go_on(p);
    EXPECT_EQ(p.from_client(ack), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::cookie_replayed), 1U);
    p.expect_quiet();
  }
}

TEST(Restart, WhatServersCanDoIsStillKnown) {
  for (const auto& [way, go_on] : kWays) {
    SCOPED_TRACE(way);
    HarnessOptions h = with_store();
    h.engine.tuning.offer = {};
    ProxyHarness p(h);
    SessionOptions o;
    o.server_scale = 9;
    for (std::uint16_t port = 1; port <= 20; ++port) {
      o.client_port = port;
      Session s(p, o);
      p.from_client(s.syn_frame());
      const DecodedFrame offer = p.take_client();
      s.cookie = offer.seq;
      if (!offer.timestamps.empty()) s.our_tsval = offer.tsval();
      s.o.timestamps = !offer.timestamps.empty();
      if (port == 20) {
        EXPECT_EQ(offer.window_scale, 9);
        EXPECT_TRUE(s.o.timestamps);
        break;
      }
      p.from_client(s.ack_frame());
      s.o.timestamps = true;  // it answers what it is asked
      p.from_server(s.syn_ack_frame());
      s.o.timestamps = !offer.timestamps.empty();
      p.from_server(s.syn_ack_frame());
      p.to_client.clear();
      p.to_server.clear();
      go_on(p);
    }
  }
}

TEST(Restart, ConnectionsOfTheServerItselfGoOn) {
  HarnessOptions h = with_store();
  h.protect = {"203.0.113.10"};
  ProxyHarness p(h);
  PacketBuilder syn;
  syn.macs(kServerMac, kClientMac).ip("203.0.113.10", "198.51.100.7").ports(33'333, 443);
  EXPECT_EQ(p.from_server(syn.seq(1'000).flags(kSyn).window(0xffff).mss(1460).build()),
            Verdict::kForward);
  p.hand_over(64);
  PacketBuilder answer;
  answer.ip("198.51.100.7", "203.0.113.10").ports(443, 33'333);
  EXPECT_EQ(p.from_client(answer.seq(7).ack(1'001).flags(kSyn | kAck).window(0xffff).build()),
            Verdict::kForward);
  p.die();
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  PacketBuilder data;
  data.macs(kServerMac, kClientMac).ip("203.0.113.10", "198.51.100.7").ports(33'333, 443);
  const Bytes sent = data.seq(1'001).ack(8).flags(kAck).window(0xffff).payload("GET").build();
  p.to_client.clear();
  EXPECT_EQ(p.from_server(sent), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kClient), sent);
  EXPECT_EQ(p.count(Reason::conn_passed), 1U);
}

TEST(Restart, SilentConnectionIsAskedAgainAndLives) {
  HarnessOptions h = with_store();
  h.engine.tuning.idle_timeout_ms = 100'000;
  ProxyHarness p(h);
  Session s(p);
  s.open();
  s.client_sends("a");
  s.server_sends("b");
  s.client_sends("", kAck);
  p.advance(80'000);
  EXPECT_EQ(p.count(Reason::keepalive_probe), 4U);
  p.to_client.clear();
  p.to_server.clear();
  p.die();  // the answers are lost with it
  p.advance(80'000);
  EXPECT_GT(p.count(Reason::keepalive_probe), 4U);
  p.to_client.clear();
  p.to_server.clear();
  EXPECT_EQ(p.count(Reason::conn_idle), 0U);
  s.client_sends("alive");
}

TEST(Restart, TableThatWasFullHasItsFreeRecordsAgain) {
  ProxyHarness p(with_store());
  std::vector<std::unique_ptr<Session>> all;
  SessionOptions o;
  for (std::uint16_t port = 1; port <= 64; ++port) {
    o.client_port = port;
    all.push_back(std::make_unique<Session>(p, o));
    all.back()->open();
    all.back()->client_sends("a");
  }
  for (std::size_t i = 0; i < all.size(); i += 2) all[i]->close();
  p.advance(61'000);
  EXPECT_EQ(p.flows(), 32U);
  EXPECT_EQ(p.die().kept, 32U);
  EXPECT_EQ(p.flows(), 32U);
  for (std::uint16_t port = 101; port <= 132; ++port) {
    o.client_port = port;
    Session(p, o).open();
  }
  EXPECT_EQ(p.flows(), 64U);
  EXPECT_EQ(p.count(Reason::flow_evicted), 0U);
  for (std::size_t i = 1; i < all.size(); i += 2) all[i]->client_sends("still here");
}

TEST(Restart, OpenConnectionsCountForTheirSourceAgain) {
  HarnessOptions h = with_store();
  h.engine.tuning.limits.conns.limits[0] = {.connections = 2, .mask = {}};
  h.engine.tuning.limits.conns.count = 1;
  ProxyHarness p(h);
  SessionOptions o;
  std::vector<std::unique_ptr<Session>> all;
  for (std::uint16_t port = 1; port <= 2; ++port) {
    o.client_port = port;
    all.push_back(std::make_unique<Session>(p, o));
    all.back()->open();
    all.back()->client_sends("a");
  }
  p.die();
  o.client_port = 3;
  Session third(p, o);
  third.syn();
  p.from_client(third.ack_frame());
  EXPECT_EQ(p.flows(), 2U) << "two are open already";
  p.to_client.clear();
  all[0]->close();
  third.o.client_port = 4;
  third.open();
  EXPECT_EQ(p.flows(), 3U);
}

// Whatever stands in the store: no access out of bounds (the sanitizers see it), no frame with a
// bad checksum, no engine that does not go on.
TEST(Restart, AnythingMayStandInTheStore) {
  for (unsigned seed = 0; seed < rounds(60U); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 dice(seed);
    HarnessOptions h = with_store();
    h.protect = {"203.0.113.10", "2001:db8::10"};
    ProxyHarness p(h);
    SessionOptions o;
    std::vector<std::unique_ptr<Session>> all;
    const auto steps = conversation();
    for (std::uint16_t port = 1; port <= 24; ++port) {
      o = kinds()[port % 5].options;
      o.client_port = port;
      all.push_back(std::make_unique<Session>(p, o));
      for (std::size_t i = 0; i < port % (steps.size() + 1); ++i) steps[i](*all.back());
    }
    // The same damage in both. It lies where the records are, and now and then anywhere.
    const std::size_t size = p.store(0).size();
    for (std::uint_fast32_t n = 1 + dice() % 60; n > 0; --n) {
      const std::size_t most = dice() % 4 == 0 ? size : 25 * sizeof(FlowRecord);
      const std::size_t at = dice() % most;
      const std::size_t length = std::min<std::size_t>(1 + dice() % 8, size - at);
      const auto how = dice() % 3;
      for (std::size_t i = at; i < at + length; ++i) {
        const auto noise = static_cast<std::byte>(dice());
        for (std::size_t e = 0; e < 2; ++e) {
          std::byte& b = p.store(e)[i];
          b = how == 0 ? noise : how == 1 ? b ^ std::byte{0x10} : std::byte{0xff};
        }
      }
    }
    const std::uint32_t before = p.flows();
    const Found found = p.die();
    EXPECT_LE(found.kept, before + found.dropped + 64);
    EXPECT_EQ(p.flows(), found.kept);
    for (const auto& s : all) {
      p.from_client(s->client(kAck | kPsh).payload("data").build());
      p.from_server(s->server(kAck | kPsh).payload("data").build());
      p.from_client(s->syn_frame());
    }
    p.die();
    p.advance(200'000);
    p.to_client.clear();
    p.to_server.clear();
    p.advance(8'000'000);
    EXPECT_EQ(p.flows(), 0U);
  }
}

TEST(Restart, StoreOfNoiseHoldsNothingThatHarms) {
  ProxyHarness p(with_store());
  std::mt19937 dice(7);
  for (std::size_t i = 0; i < p.store(0).size(); ++i) {
    const auto noise = static_cast<std::byte>(dice());
    for (std::size_t e = 0; e < 2; ++e) p.store(e)[i] = noise;
  }
  EXPECT_EQ(p.die().kept, 0U) << "no record of noise has a sound VLAN word by chance";
  Session s(p);
  s.open();
  s.client_sends("a");
  s.server_sends("b");
}

}  // namespace
}  // namespace synproxy::test
