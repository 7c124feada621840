// SPDX-License-Identifier: BSD-3-Clause
// A new connection with the addresses and ports of an old one: live, closing, finished or
// forgotten.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

SessionOptions next_options() {
  SessionOptions o;
  o.client_isn = 0x40000000;
  o.server_isn = 0x10000000;
  o.client_ts = 60'000;
  o.server_ts = 0x7000000;
  return o;
}

TEST(Reuse, SynOnLiveFlowLeavesItUntouched) {
  for (const bool timestamps : {false, true}) {
    SessionOptions o;
    o.timestamps = timestamps;
    ProxyHarness p;
    Session old(p, o);
    old.open();
    old.client_sends("hello");
    SessionOptions n = next_options();
    n.timestamps = timestamps;
    Session next(p, n);
    next.syn();  // a SYN-ACK, and nothing else
    EXPECT_EQ(p.flows(), 1U);
    p.expect_quiet();
    old.client_sends("still here");
    old.server_sends("so am I");
    EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
  }
}

TEST(Reuse, ValidAckOfTheLaterSynReplacesALiveFlowAndResetsTheServersOldOne) {
  for (const bool timestamps : {false, true}) {
    SessionOptions o;
    o.timestamps = timestamps;
    ProxyHarness p;
    Session old(p, o);
    old.open();
    old.client_sends("hello");
    old.server_sends("hi");
    SessionOptions n = next_options();
    n.timestamps = timestamps;
    Session next(p, n);
    next.syn();
    EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
    const DecodedFrame rst = p.take_server();
    EXPECT_TRUE(rst.has(kRst)) << "before the SYN";
    EXPECT_EQ(rst.seq, old.client_nxt) << "exactly, so that it is accepted";
    const DecodedFrame syn = p.take_server();
    EXPECT_EQ(syn.flags, kSyn);
    EXPECT_EQ(syn.seq, n.client_isn);
    EXPECT_TRUE(p.to_client.empty());
    EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
    next.syn_ack();
    next.client_sends("new");
    next.server_sends("too");
    EXPECT_EQ(p.flows(), 1U);
  }
}

TEST(Reuse, PacketThatFitsClearsTheMark) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, next_options());
  next.syn();
  old.client_sends("alive");
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
  EXPECT_EQ(p.flows(), 1U);
  p.to_server.clear();
  p.to_client.clear();
  old.client_sends("still");
}

// Found by the simulator: the client would wait for ever, because it repeats no SYN.
TEST(Reuse, OldAckThatTheSynHasOvertakenLeavesTheMark) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, next_options());
  next.syn();
  old.client_sends("", kAck);
  EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
  p.to_server.clear();
  next.syn_ack();
  p.to_server.clear();
  next.client_sends("hello");
}

// Found by the simulator: the server knows neither number, and resets what it does not know.
TEST(Reuse, DataThatOvertakesItsHandshakeAckIsNotSentInTheNumbersOfALiveFlow) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, next_options());
  next.syn();
  EXPECT_EQ(p.from_client(next.client().seq(next.o.client_isn + 1001).payload("2nd").build()),
            Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ack_unfit), 1U);
  p.expect_quiet();
  old.client_sends("goes on");
}

TEST(Reuse, DataInTheFirstAckOfTheNewConnectionIsHeld) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, next_options());
  next.syn();
  p.from_client(next.client(kAck | kPsh).payload("GET").build());
  EXPECT_TRUE(p.take_server().has(kRst));
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  EXPECT_EQ(p.from_server(next.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  EXPECT_EQ(p.take_server().text(), "GET");
}

TEST(Reuse, CookieOfALayoutThatTheSynDidNotHaveDoesNotReopen) {
  ProxyHarness p;
  Session old(p);
  old.open();
  auto plain = next_options();
  plain.timestamps = false;
  Session next(p, plain);
  next.syn();
  Session wrong(p, next_options());
  wrong.cookie = next.cookie;
  wrong.our_tsval = 4711;
  p.from_client(wrong.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
}

TEST(Reuse, OneMarkASecond) {
  ProxyHarness p;
  Session old(p);
  old.open();
  p.advance(1'500);
  p.to_server.clear();
  Session first(p, next_options());
  first.syn();
  // A flood with the flow's own addresses: these SYNs are answered, but displace no mark.
  for (std::uint32_t i = 0; i < 50; ++i) {
    SessionOptions o = next_options();
    o.client_isn = 0x80000000 + i * 1000;
    Session flood(p, o);
    flood.syn();
  }
  p.from_client(first.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
}

TEST(Reuse, MarkOfALaterSecondReplacesTheOldOne) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session first(p, next_options());
  first.syn();
  p.advance(2'000);
  p.to_server.clear();
  SessionOptions o = next_options();
  o.client_isn = 0x55555555;
  Session second(p, o);
  second.syn();
  p.from_client(first.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
  p.to_server.clear();
  p.from_client(second.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
}

TEST(Reuse, GuessesAtAMarkedFlowAreLimited) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, next_options());
  next.syn();
  for (std::uint32_t i = 1; i <= 20; ++i) {
    Session guess(p, next_options());
    guess.cookie = next.cookie + 0x1000 * i;
    guess.our_tsval = next.our_tsval;
    p.from_client(guess.ack_frame());
  }
  p.to_server.clear();
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 0U) << "16 tries at most";
}

// A duplicate of the handshake's own ACK is a valid cookie too.
TEST(Reuse, LateCopiesOfTheHandshakesOwnAckNeverResetReopenOrReplace) {
  for (const bool marked : {false, true}) {
    for (const bool timestamps : {false, true}) {
      SessionOptions o;
      o.timestamps = timestamps;
      ProxyHarness p;
      Session c(p, o);
      c.syn();
      const Bytes late = c.ack_frame();
      c.ack();
      c.syn_ack();
      c.client_sends("hello");
      c.server_sends(std::string(1000, 'x'));
      const auto harmless = [&](const char* when) {
        SCOPED_TRACE(when);
        if (marked) {
          p.from_client(c.syn_frame());  // the SYN's own late copy
          p.to_client.clear();
        }
        p.from_client(late);
        for (const Bytes& raw : p.to_server) {
          const auto f = decode(raw);
          ASSERT_TRUE(f.has_value());
          EXPECT_FALSE(f->has(kRst | kSyn)) << f->to_string();
        }
        p.to_server.clear();
        p.expect_quiet();
        EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
        EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
        EXPECT_EQ(p.flows(), 1U);
      };
      harmless("while established");
      c.client_sends("", kAck | kFin);
      harmless("half closed");
      c.server_sends("", kAck | kFin);
      harmless("both FINs under way");
      c.client_sends("", kAck);
      harmless("finished");
      p.advance(30'000);
      harmless("long finished");
    }
  }
}

TEST(Reuse, FinishedFlowIsReopenedAtOnceWithoutAReset) {
  for (const bool timestamps : {false, true}) {
    for (const bool server_first : {false, true}) {
      SessionOptions o;
      o.timestamps = timestamps;
      ProxyHarness p;
      Session old(p, o);
      old.open();
      old.close(server_first);
      SessionOptions n = next_options();
      n.timestamps = timestamps;
      Session next(p, n);
      next.syn();
      const DecodedFrame syn = next.ack();  // fails if a RST comes first
      EXPECT_EQ(syn.seq, n.client_isn)
          << "untouched, for a server in TIME_WAIT to judge (RFC 6191)";
      if (timestamps) {
        EXPECT_EQ(syn.tsval(), n.client_ts);
      }
      EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
      next.syn_ack();
      next.client_sends("new");
      EXPECT_EQ(p.flows(), 1U);
    }
  }
}

// wrk with Connection: close comes back to each 4-tuple again and again.
TEST(Reuse, SameTupleAgainAndAgain) {
  ProxyHarness p;
  for (std::uint32_t i = 0; i < 50; ++i) {
    SessionOptions o;
    o.client_isn = 1000 + i * 0x02345678;
    o.server_isn = 77 + i * 0x03456789;
    o.client_ts += i * 40;
    o.server_ts = 0x1234567 * i;  // the server's own offset for each connection
    Session c(p, o);
    c.open();
    c.client_sends("GET");
    c.server_sends("OK");
    c.close(i % 2 == 0);
    p.advance(7);
  }
  EXPECT_EQ(p.count(Reason::conn_finished), 50U);
  EXPECT_EQ(p.count(Reason::conn_reopened), 49U);
  EXPECT_EQ(p.count(Reason::rst_to_server), 0U);
  p.expect_empty_after(70'000);
}

TEST(Reuse, ServerInTimeWaitThatAnswersWithAnAckIsResetAndAskedAgain) {
  ProxyHarness p;
  Session old(p);
  old.open();
  old.close(true);
  Session next(p, next_options());
  next.syn();
  const DecodedFrame syn = next.ack();
  PacketBuilder time_wait = old.server(kAck);
  EXPECT_EQ(p.from_server(time_wait.build()), Verdict::kReply);
  const DecodedFrame rst = p.take_server();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, old.client_nxt);
  EXPECT_EQ(p.take_server().raw, syn.raw);
  next.syn_ack();
}

TEST(Reuse, FlowThatWasResetIsReopenedWithoutAnotherReset) {
  ProxyHarness p;
  Session old(p);
  old.open();
  old.client_sends("", kRst | kAck);
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  Session next(p, next_options());
  next.syn();
  next.ack();
  next.syn_ack();
}

TEST(Reuse, WhileTheServerIsSilentTheClientMayStartOver) {
  ProxyHarness p;
  Session old(p);
  old.syn();
  old.ack();
  Session next(p, next_options());
  next.syn();
  EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
  const DecodedFrame rst = p.take_server();
  EXPECT_TRUE(rst.has(kRst));
  EXPECT_EQ(rst.seq, old.o.client_isn + 1);
  EXPECT_EQ(p.take_server().seq, next.o.client_isn);
  EXPECT_EQ(p.flows(), 1U);
  next.syn_ack();
  next.client_sends("x");
  p.advance(3'000);  // the old one's timers must not speak for the new one
  p.expect_quiet();
}

// Found by the simulator. The SYN of the next connection has overtaken the handshake ACK of the one
// before, or has come with it in one burst, and was answered when there was no flow yet.
TEST(Reuse, SynThatIsOlderThanTheFlowLeavesItsMark) {
  for (const bool in_one_burst : {false, true}) {
    for (const bool spliced : {false, true}) {
      HarnessOptions h;
      h.engine.tuning.synack_repeats = 3;
      ProxyHarness p(h);
      Session old(p);
      old.syn();
      Session next(p, next_options());
      if (in_one_burst) {
        p.feed_burst(Role::kClient, {old.ack_frame(), next.syn_frame()});
        const DecodedFrame syn_ack = p.take_client();
        next.cookie = syn_ack.seq;
        next.our_tsval = syn_ack.tsval();
        EXPECT_EQ(p.take_server().seq, old.o.client_isn);
      } else {
        next.syn();
        old.ack();
      }
      if (spliced) old.syn_ack();
      EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
      EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
      p.to_server.clear();
      next.syn_ack();
      next.client_sends("hello");
      next.server_sends("who are you?");
    }
  }
}

// Found by the simulator: SYN, the late SYN-ACK of a server for the connection before, ACK.
TEST(Reuse, MarkOutlivesTheSplice) {
  for (const bool timestamps : {true, false}) {
    ProxyHarness p;
    Session old(p);
    old.syn();
    old.ack();
    SessionOptions o = next_options();
    o.timestamps = timestamps;
    Session next(p, o);
    next.syn();
    old.syn_ack();
    EXPECT_EQ(p.count(Reason::conn_established), 1U);
    EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
    p.to_server.clear();
    next.syn_ack();
    next.client_sends("hello");
  }
}

TEST(Reuse, TimersOfTheOldConnectionDoNotFireForTheNewOne) {
  ProxyHarness p;
  Session old(p);
  old.syn();
  old.ack();
  PacketBuilder refused = old.server(kRst | kAck);
  p.from_server(refused.seq(0).build());
  p.to_client.clear();
  Session next(p, next_options());
  next.open();
  next.client_sends("x");
  p.advance(5'000);
  p.expect_quiet();
}

// With the old connection's numbers it would draw a RST from the server that the new connection
// accepts.
TEST(Reuse, DataThatOvertakesItsHandshakeAckIsNotSentInTheOldNumbers) {
  ProxyHarness p;
  Session old(p);
  old.open();
  old.close();
  Session next(p, next_options());
  next.syn();
  EXPECT_EQ(p.from_client(next.client().seq(next.o.client_isn + 1001).payload("2nd").build()),
            Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ack_unfit), 1U);
  p.expect_quiet();
  next.ack();
  next.syn_ack();
  next.client_sends("first");
}

// Found by the simulator: a RST that answers it would be exact for the client's new connection.
TEST(Reuse, DataThatOvertakesItsHandshakeAckIsNotAnsweredByTheTombstoneOfTheOneBefore) {
  ProxyHarness p;
  Session first(p);
  first.syn();
  first.ack();
  PacketBuilder refused = first.server(kRst | kAck);
  refused.seq(0).ack(first.o.client_isn + 1);
  EXPECT_EQ(p.from_server(refused.build()), Verdict::kDrop);
  EXPECT_TRUE(p.take_client().has(kRst));
  Session next(p, {.client_isn = 500'000'000, .server_isn = 0x30000000});
  next.syn();
  PacketBuilder early = next.client();
  early.seq(next.o.client_isn + 101).payload("second segment");
  EXPECT_EQ(p.from_client(early.build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ack_unfit), 1U);
  p.expect_quiet();
  // But the refused client is told again.
  EXPECT_EQ(p.from_client(first.client().payload("hello?").build()), Verdict::kReply);
  EXPECT_TRUE(p.take_client().has(kRst));
  next.ack();
  next.syn_ack();
}

TEST(Reuse, SynOfTheNewConnectionIsRepeatedByItsOwnClock) {
  ProxyHarness p;
  Session old(p);
  old.syn();
  old.ack();
  PacketBuilder refused = old.server(kRst | kAck);
  p.from_server(refused.seq(0).build());
  p.to_client.clear();
  p.advance(100);
  Session next(p, next_options());
  next.syn();
  next.ack();
  p.advance(199);  // the old one's would have been due 100 ms ago
  p.expect_quiet();
  p.advance(1);
  EXPECT_EQ(p.take_server().seq, next.o.client_isn);
  p.expect_quiet();
}

TEST(Reuse, TombstoneGivesWayToTheNextConnection) {
  ProxyHarness p;
  Session old(p);
  old.syn();
  old.ack();
  p.advance(12'000);
  p.to_client.clear();
  p.to_server.clear();
  Session next(p, next_options());
  next.syn();
  next.ack();
  next.syn_ack();
  next.client_sends("x");
}

}  // namespace
}  // namespace synproxy
