// SPDX-License-Identifier: BSD-3-Clause
// Connections that the proxy does not know, because they are older than it.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "support/session.h"
#include "synproxy/proxy/strangers.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions telling() {
  HarnessOptions h;
  h.engine.tuning.unknown = Unknown::kReset;
  return h;
}

// A session that never went through this proxy: both ends know each other's own numbers.
Session older_than_the_proxy(ProxyHarness& p, SessionOptions o = {}) {
  Session c(p, std::move(o));
  c.untranslated();
  c.client_nxt += 5'000;
  c.server_nxt += 70'000;
  return c;
}

TEST(Unknown, IsTheDefault) { EXPECT_EQ(EngineTuning{}.unknown, Unknown::kReset); }

// `delta`: what an earlier proxy added to the server's numbers.
TEST(Unknown, ClientIsToldAsSoonAsTheServerHasConfirmedTheConnection) {
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      for (const std::uint32_t delta : {0U, 0x5000'0000U}) {
        ProxyHarness p(telling());
        SessionOptions o;
        o.ipv6 = ipv6;
        o.timestamps = timestamps;
        o.tags = {{7, kEtherTypeVlan}};
        Session old = older_than_the_proxy(p, o);
        old.cookie -= delta;
        const Bytes data = old.client(kAck | kPsh).payload("are you there?").build();
        EXPECT_EQ(p.from_client(data), Verdict::kDrop) << "may have overtaken its handshake ACK";
        const DecodedFrame probe = p.take_server();
        EXPECT_EQ(probe.flags, kAck);
        EXPECT_EQ(probe.seq, old.client_nxt - 1) << "a keepalive";
        EXPECT_TRUE(probe.payload.empty());
        EXPECT_EQ(probe.timestamps.size(), timestamps ? 1U : 0U);
        EXPECT_EQ(probe.tags, o.tags);
        p.expect_quiet();
        EXPECT_EQ(p.from_server(old.server().build()), Verdict::kReply);
        const DecodedFrame to_server = p.take_server();
        EXPECT_EQ(to_server.flags, kRst);
        EXPECT_EQ(to_server.seq, old.client_nxt) << "exact";
        EXPECT_EQ(to_server.destination_mac, kServerMac);
        const DecodedFrame to_client = p.take_client();
        EXPECT_EQ(to_client.flags, kRst);
        EXPECT_EQ(to_client.seq, old.seen_by_client(old.server_nxt)) << "exact";
        EXPECT_EQ(to_client.destination_mac, kClientMac);
        EXPECT_EQ(to_client.tags, o.tags);
        EXPECT_EQ(p.count(Reason::conn_unknown), 1U);
        EXPECT_EQ(p.flows(), 0U);
        p.expect_quiet();
      }
    }
  }
}

// The server has forgotten the connection, or the client is ahead of its own handshake ACK.
TEST(Unknown, ClientThatTheServerDoesNotKnowIsToldAfterHalfAMinute) {
  ProxyHarness p(telling());
  Session old = older_than_the_proxy(p);
  const Bytes data = old.client(kAck | kPsh).payload("are you there?").build();
  for (std::uint32_t ms = 0; ms < Strangers::kPatienceMs; ms += 5'000) {
    EXPECT_EQ(p.from_client(data), Verdict::kDrop);
    EXPECT_EQ(p.take_server().flags, kAck);
    PacketBuilder rst = old.server(kRst);
    EXPECT_EQ(p.from_server(rst.seq(old.server_nxt).build()), Verdict::kDrop);
    p.expect_quiet();
    p.advance(5'000);
  }
  EXPECT_EQ(p.from_client(data), Verdict::kReply);
  EXPECT_EQ(p.take_client().seq, old.server_nxt);
  EXPECT_EQ(p.take_server().seq, old.client_nxt);
}

TEST(Unknown, ServerIsToldAtOnceAndItsClientToo) {
  for (const unsigned extra : {0U, unsigned{kPsh}, unsigned{kFin}}) {
    const auto flags = static_cast<std::uint16_t>(kAck | extra);
    for (const bool ipv6 : {false, true}) {
      ProxyHarness p(telling());
      Session old = older_than_the_proxy(p, {.ipv6 = ipv6});
      PacketBuilder b = old.server(flags);
      if ((flags & kPsh) != 0) b.payload("news");
      EXPECT_EQ(p.from_server(b.build()), Verdict::kReply);
      const DecodedFrame to_server = p.take_server();
      EXPECT_EQ(to_server.flags, kRst);
      EXPECT_EQ(to_server.seq, old.client_nxt);
      EXPECT_EQ(to_server.destination_mac, kServerMac);
      const DecodedFrame to_client = p.take_client();
      EXPECT_EQ(to_client.flags, kRst);
      EXPECT_EQ(to_client.seq, old.server_nxt);
      EXPECT_EQ(to_client.destination_mac, kClientMac);
      EXPECT_EQ(p.count(Reason::no_flow_server), 1U);
      // If an earlier proxy had other numbers, the client answers this with its own, and is told.
      const DecodedFrame probe = p.take_client();
      EXPECT_EQ(probe.flags, kAck);
      EXPECT_EQ(probe.ack, old.client_nxt);
      old.cookie -= 0x5000'0000;
      EXPECT_EQ(p.from_client(old.client().build()), Verdict::kReply);
      EXPECT_EQ(p.take_client().seq, old.seen_by_client(old.server_nxt));
    }
  }
}

TEST(Unknown, DataThatOvertakesItsHandshakeAckKillsNoConnection) {
  for (const bool timestamps : {false, true}) {
    ProxyHarness p(telling());
    Session c(p, {.timestamps = timestamps});
    c.syn();
    const Bytes later = c.client().seq(c.client_nxt + 1'000).payload("second").build();
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(p.from_client(later), Verdict::kDrop);
      p.advance(1'000);
      // The server knows nothing of it.
      const DecodedFrame probe = p.take_server();
      PacketBuilder rst = c.server(kRst);
      EXPECT_EQ(p.from_server(rst.seq(probe.ack).build()), Verdict::kDrop);
    }
    p.expect_quiet();
    c.ack();
    // lwIP sets ACK in every RST.
    for (const unsigned ack : {0U, unsigned{kAck}}) {
      PacketBuilder late = c.server(static_cast<std::uint16_t>(kRst | ack));
      EXPECT_EQ(p.from_server(late.seq(c.cookie + 1).build()), Verdict::kDrop);
    }
    c.syn_ack();
    c.client_sends(std::string(1'000, '1'));
    c.client_sends("second");
    EXPECT_EQ(p.count(Reason::conn_unknown), 0U);
  }
}

// An old connection of the same ports had been asked about for a while.
// The server may be half open by the client's own SYN, which passed before cookies began. Its RST
// would reach the client.
TEST(Unknown, ServerDoesNotHearOfAClientThatIsAheadOfItsHandshakeAck) {
  HarnessOptions h = telling();
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness p(h);
  Session c(p);
  c.syn();
  const std::uint32_t ahead = c.client_nxt + 100;  // of what its SYN carried
  EXPECT_EQ(p.from_client(c.client().seq(ahead).build()), Verdict::kDrop);
  p.expect_quiet();
  // One that acknowledges anything else may have an older connection.
  EXPECT_EQ(p.from_client(c.client().seq(ahead).ack(c.cookie + 2).build()), Verdict::kDrop);
  EXPECT_EQ(p.take_server().seq, ahead - 1);
  p.expect_quiet();
  c.ack();
  EXPECT_EQ(p.flows(), 1U);
}

TEST(Unknown, WhatIsAheadOfItsHandshakeAckDoesNotPassEither) {
  HarnessOptions h;
  h.engine.tuning.unknown = Unknown::kForward;
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness p(h);
  Session c(p);
  c.syn();
  const std::uint32_t ahead = c.client_nxt + 100;
  EXPECT_EQ(p.from_client(c.client().seq(ahead).build()), Verdict::kDrop);
  p.expect_quiet();
  EXPECT_EQ(p.from_client(c.client().seq(ahead).ack(c.cookie + 2).build()), Verdict::kForward);
  p.to_server.clear();
  c.ack();
  EXPECT_EQ(p.flows(), 1U);
}

TEST(Unknown, DataOfTheNextConnectionBetweenTheSamePortsIsNotTheOldOnes) {
  ProxyHarness p(telling());
  Session old = older_than_the_proxy(p);
  p.from_client(old.client(kAck | kPsh).payload("are you there?").build());
  p.to_server.clear();
  p.advance(Strangers::kPatienceMs + 1'000);
  Session next(p, {.client_isn = 0x70000000});
  next.syn();
  EXPECT_EQ(p.from_client(next.client(kAck | kFin).seq(next.client_nxt + 277).build()),
            Verdict::kDrop);
  p.to_server.clear();  // the server is asked anew
  p.expect_quiet();
  next.ack();
  next.syn_ack();
  next.client_sends("hello");
  EXPECT_EQ(p.count(Reason::conn_unknown), 0U);
}

TEST(Unknown, ResetsAndDamagedSegmentsAreNotAnswered) {
  ProxyHarness p(telling());
  p.checksums_must_be_good = false;
  Session old = older_than_the_proxy(p);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.from_client(old.client(kRst | kAck).build()), Verdict::kDrop);
    EXPECT_EQ(p.from_server(old.server(kRst | kAck).build()), Verdict::kDrop);
    EXPECT_EQ(p.from_client(old.client().break_l4_checksum().build()), Verdict::kDrop);
    EXPECT_EQ(p.from_server(old.server().break_l4_checksum().build()), Verdict::kDrop);
    p.advance(1'500);
  }
  p.expect_quiet();
}

TEST(Unknown, AreDroppedWhereTheOperatorSaysSo) {
  HarnessOptions h = telling();
  h.engine.tuning.unknown = Unknown::kDrop;
  ProxyHarness p(h);
  Session old = older_than_the_proxy(p);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.from_client(old.client().build()), Verdict::kDrop);
    EXPECT_EQ(p.from_server(old.server().build()), Verdict::kDrop);
    p.advance(1'500);
  }
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::cookie_invalid), 3U);
  EXPECT_EQ(p.count(Reason::no_flow_server), 3U);
}

// Also in bursts, which the kernels for many ACKs refute.
TEST(Unknown, PassUntouchedWhereTheOperatorSaysSo) {
  HarnessOptions h = telling();
  h.engine.tuning.unknown = Unknown::kForward;
  ProxyHarness p(h);
  Session old = older_than_the_proxy(p);
  std::vector<Bytes> burst;
  for (std::uint16_t i = 0; i < 32; ++i) {
    burst.push_back(old.client().ports(static_cast<std::uint16_t>(2000 + i), 80).build());
  }
  for (int turn = 0; turn < 4; ++turn) {
    for (const Verdict v : p.feed_burst(Role::kClient, burst)) EXPECT_EQ(v, Verdict::kForward);
    for (const Bytes& sent : burst) EXPECT_EQ(p.take_raw(Role::kServer), sent);
  }
  for (const Bytes& sent : {old.client(kRst).build(), old.client(kAck | kFin).build()}) {
    EXPECT_EQ(p.from_client(sent), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), sent);
  }
  for (const Bytes& sent : {old.server().payload("data").build(), old.server(kRst).build()}) {
    EXPECT_EQ(p.from_server(sent), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kClient), sent);
  }
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::unknown_forwarded), 4 * 32U + 4U);
  // A SYN is still answered, and a cookie still opens a connection.
  Session(p, {.client_port = 41000}).open();
}

TEST(Unknown, AnswersAreLimited) {
  ProxyHarness p(telling());
  const auto send_all = [&] {
    for (std::uint32_t i = 0; i < 3'000; ++i) {
      PacketBuilder b;
      b.macs(kServerMac, kClientMac).ip("203.0.113.10", "198.51.100.7").flags(kAck);
      p.from_server(b.ports(80, static_cast<std::uint16_t>(1'024 + i)).build());
    }
  };
  send_all();
  EXPECT_EQ(p.count(Reason::conn_unknown), Strangers::kResetsPerSecond);
  p.advance(1'000);
  send_all();
  EXPECT_EQ(p.count(Reason::conn_unknown), 2 * Strangers::kResetsPerSecond);
}

// Forged ACKs get no answer, and bring the server hardly any keepalives. A connection that the
// server confirms meanwhile is told all the same.
TEST(Unknown, FloodOfForgedAcksIsNotAnswered) {
  ProxyHarness p(telling());
  constexpr std::uint32_t kSeconds = 3;
  for (std::uint32_t ms = 0; ms < 1'000 * kSeconds; ++ms) {
    for (std::uint32_t i = 0; i < 10; ++i) {
      PacketBuilder b;
      b.ip("192.0.2." + std::to_string(1 + ms % 250), "203.0.113.10").flags(kAck).seq(ms * i);
      b.timestamps(1, ms);
      p.from_client(b.ports(static_cast<std::uint16_t>(1'024 + ms * 10 + i), 80).build());
    }
    p.advance(1);
  }
  EXPECT_TRUE(p.to_client.empty());
  EXPECT_LE(p.to_server.size(),
            Strangers::kAsksInVain + kSeconds * Strangers::kDoubtfulAsksPerSecond);
  EXPECT_EQ(p.count(Reason::conn_unknown), 0U);
  EXPECT_EQ(p.flows(), 0U);
  p.to_server.clear();
  p.advance(1'000);
  Session old = older_than_the_proxy(p);
  const Bytes data = old.client(kAck | kPsh).payload("are you there?").build();
  for (std::uint32_t ms = 0; ms < 5'000 && p.to_server.empty(); ms += 1'000) {
    p.from_client(data);
    p.advance(1'000);  // the flood keeps its places for four seconds
  }
  EXPECT_EQ(p.take_server().flags, kAck);
  p.from_server(old.server().build());
  EXPECT_EQ(p.count(Reason::conn_unknown), 1U);
}

TEST(Unknown, WhatIsMonitoredPassesAndIsCounted) {
  HarnessOptions h = telling();
  h.engine.tuning.limits.monitored = kMonitorUnknown;
  ProxyHarness p(h);
  Session old = older_than_the_proxy(p);
  const Bytes data = old.client(kAck | kPsh).payload("are you there?").build();
  EXPECT_EQ(p.from_client(data), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kServer), data);
  EXPECT_EQ(p.from_client(old.client(kRst).build()), Verdict::kForward);
  EXPECT_EQ(p.from_server(old.server().build()), Verdict::kForward);
  p.to_client.clear();
  p.to_server.clear();
  // A flood of them, in columns.
  const std::vector<Bytes> flood(32, data);
  for (const Verdict v : p.feed_burst(Role::kClient, flood)) EXPECT_EQ(v, Verdict::kForward);
  EXPECT_EQ(p.count(Reason::unknown_monitored), 35U);
  EXPECT_EQ(p.count(Reason::unknown_forwarded), 35U);
  p.to_server.clear();
  // Who is forwarded anyway is not one that the rule would have refused.
  h.engine.tuning.unknown = Unknown::kForward;
  p.retune(h.engine.tuning);
  EXPECT_EQ(p.from_client(data), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::unknown_monitored), 35U);
  p.to_server.clear();
}

}  // namespace
}  // namespace synproxy
