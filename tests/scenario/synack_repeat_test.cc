// SPDX-License-Identifier: BSD-3-Clause
// A lost handshake ACK before a server that speaks first: the SYN-ACK is sent again.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions repeating(std::uint32_t n = 3) {
  HarnessOptions h;
  h.engine.tuning.synack_repeats = n;
  return h;
}

SessionOptions numbered(std::uint32_t n) {
  SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(1024 + n % 60'000);
  o.client_isn = n * 65'537;
  return o;
}

TEST(SynAckRepeat, AnUnansweredSynAckComesAgainAfterASecondAsItWas) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p(repeating());
    SessionOptions o;
    o.ipv6 = ipv6;
    o.tags = {{0x2064, 0x88a8}, {7, 0x8100}};
    Session c(p, o);
    const DecodedFrame first = c.syn();
    p.advance(999);
    p.expect_quiet();
    p.advance(1);
    const DecodedFrame again = p.take_client();
    EXPECT_EQ(again.raw, first.raw);
    EXPECT_EQ(p.count(Reason::synack_repeated), 1U);
    // The client, which is established, answers with the number that it waits for.
    c.ack();
    c.syn_ack();
    c.server_sends("220 ready\r\n");
    p.advance(20'000);
    EXPECT_EQ(p.count(Reason::synack_repeated), 1U);
  }
}

TEST(SynAckRepeat, StopsAfterTheLastRepeat) {
  ProxyHarness p(repeating());
  Session c(p);
  c.syn();
  for (const std::uint64_t wait : {1000U, 2000U, 4000U}) {
    p.advance(wait - 1);
    p.expect_quiet();
    p.advance(1);
    EXPECT_EQ(p.take_client().flags & (kSyn | kAck), kSyn | kAck);
  }
  p.advance(60'000);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::synack_repeated), 3U);
}

TEST(SynAckRepeat, AnAnsweredOneIsNotRepeated) {
  ProxyHarness p(repeating());
  Session c(p);
  c.open();
  p.advance(10'000);
  p.to_server.clear();  // the handshake's ACK once more
  EXPECT_TRUE(p.to_client.empty());
  EXPECT_EQ(p.count(Reason::synack_repeated), 0U);
}

TEST(SynAckRepeat, OfASynOnALiveFlowComesOnlyWhileThatSynIsTheNews) {
  ProxyHarness p(repeating());
  Session old(p);
  old.open();
  p.advance(2000);
  p.to_server.clear();
  SessionOptions o;
  o.client_isn = 77;
  Session next(p, o);
  next.syn();
  p.advance(1000);
  EXPECT_EQ(p.count(Reason::synack_repeated), 1U);
  p.to_client.clear();
  old.client_sends("the old connection lives");
  p.advance(10'000);
  EXPECT_EQ(p.count(Reason::synack_repeated), 1U);
}

// A health check or a half-open scanner: SYN, SYN-ACK, RST.
TEST(SynAckRepeat, RstThatFitsStopsIt) {
  for (const bool ipv6 : {false, true}) {
    for (const unsigned syns : {1U, 2U}) {
      for (const unsigned repeats : {0U, 1U, 2U}) {
        ProxyHarness p(repeating());
        SessionOptions o;
        o.ipv6 = ipv6;
        o.tags = {{7, 0x8100}};
        Session c(p, o);
        for (unsigned i = 0; i < syns; ++i) c.syn();
        p.advance(repeats == 0 ? 1 : repeats == 1 ? 1'001 : 3'001);
        p.to_client.clear();
        EXPECT_EQ(p.from_client(c.client(kRst).seq(o.client_isn + 1).ack(0).flags(kRst).build()),
                  Verdict::kDrop);
        EXPECT_EQ(p.count(Reason::consumed), 1U);
        p.advance(20'000);
        p.expect_quiet();
        EXPECT_EQ(p.count(Reason::synack_repeated), repeats * syns);
        c.open();  // the next one is served as ever
      }
    }
  }
}

TEST(SynAckRepeat, RstThatDoesNotFitStopsNothing) {
  ProxyHarness p(repeating());
  Session c(p);
  c.syn();
  for (const std::uint32_t off : {0U, 2U, 0x10001U}) {
    p.from_client(c.client(kRst).seq(c.o.client_isn + off).build());
  }
  p.from_client(c.client(kRst).seq(c.o.client_isn + 1).break_l4_checksum().build());
  Session other(p, numbered(9));
  p.from_client(other.client(kRst).seq(c.o.client_isn + 1).build());
  EXPECT_EQ(p.count(Reason::no_flow_client), 5U);
  p.advance(20'000);
  EXPECT_EQ(p.count(Reason::synack_repeated), 3U);
}

// The claimed source of a forged SYN does not exist, and the router before it says so.
TEST(SynAckRepeat, AnErrorThatNobodyIsThereStopsIt) {
  struct Row {
    bool ipv6;
    std::uint8_t type, code;
    std::uint32_t off;  // of the quoted number
    bool stops;
  };
  const Row rows[] = {
      {false, 3, 0, 0, true},  {false, 3, 1, 0, true},  {false, 3, 3, 0, true},
      {false, 11, 0, 0, true}, {true, 1, 0, 0, true},   {true, 1, 3, 0, true},
      {true, 3, 0, 0, true},   {false, 3, 1, 1, false},  // a number that was guessed
      {false, 3, 4, 0, false}, {true, 2, 0, 0, false},   // of a path MTU
      {false, 4, 0, 0, false}};
  for (const Row& row : rows) {
    for (const bool broken : {false, true}) {
      SCOPED_TRACE(testing::Message() << &row - rows << broken);
      ProxyHarness p(repeating());
      SessionOptions o;
      o.ipv6 = row.ipv6;
      o.tags = {{7, 0x8100}};
      Session c(p, o);
      c.syn();
      PacketBuilder quoted;
      quoted.ip(c.o.server, c.o.client).ports(c.o.server_port, c.o.client_port).flags(kSyn | kAck);
      quoted.seq(c.cookie + row.off);
      PacketBuilder error;
      error.vlans(c.o.tags).ip(row.ipv6 ? "2001:db8:2::1" : "192.0.2.1", c.o.server);
      error.icmp_error(row.type, row.code, 1280, quoted.build_packet(row.ipv6 ? 48 : 28));
      if (broken) error.break_l4_checksum();
      EXPECT_EQ(p.from_client(error.build()), Verdict::kDrop);
      const bool stops = row.stops && !broken;
      EXPECT_EQ(p.count(Reason::consumed), stops ? 1U : 0U);
      p.advance(20'000);
      EXPECT_EQ(p.count(Reason::synack_repeated), stops ? 0U : 3U);
    }
  }
}

// The addresses of an earlier connection are used again.
TEST(SynAckRepeat, RstThatFitsStopsItOnAFlowToo) {
  for (const bool closed : {false, true}) {
    ProxyHarness p(repeating());
    Session old(p);
    old.open();
    if (closed) old.close();
    p.advance(2000);
    p.to_server.clear();
    SessionOptions o;
    o.client_isn = 77;
    Session next(p, o);
    next.syn();
    EXPECT_EQ(p.from_client(next.client(kRst).seq(78).ack(0).flags(kRst).build()), Verdict::kDrop);
    p.advance(20'000);
    p.expect_quiet();
    EXPECT_EQ(p.count(Reason::synack_repeated), 0U);
    if (!closed) old.client_sends("the old connection lives");
  }
}

TEST(SynAckRepeat, CanBeSwitchedOff) {
  ProxyHarness p(repeating(0));
  Session c(p);
  c.syn();
  p.advance(10'000);
  p.expect_quiet();
}

TEST(SynAckRepeat, AFloodSwitchesItOffAndQuietBringsItBack) {
  ProxyHarness p(repeating());
  // More than fit, within a second.
  for (std::uint32_t n = 0; n < 5'000; ++n) {
    Session(p, numbered(n)).syn();
    if (n % 10 == 0) p.advance(1);
  }
  p.advance(3'000);
  EXPECT_EQ(p.count(Reason::synack_repeated), 0U);
  p.to_client.clear();
  Session first_after(p, numbered(60'000));
  first_after.syn();  // the flood's second is over: this one counts as quiet
  p.advance(1'000);
  Session second_after(p, numbered(60'001));
  second_after.syn();
  p.advance(1'000);
  EXPECT_GE(p.count(Reason::synack_repeated), 1U);
}

TEST(SynAckRepeat, TheStatedAmplificationHolds) {
  ProxyHarness p(repeating());
  // Nobody ever answers, at less than the rate that switches the repeats off.
  constexpr std::uint32_t kSyns = 10'000;
  for (std::uint32_t n = 0; n < kSyns; ++n) {
    Session(p, numbered(n)).syn();
    p.advance(1);
    p.to_client.clear();
  }
  p.advance(20'000);
  const std::uint64_t sent = p.count(Reason::synack_sent) + p.count(Reason::synack_repeated);
  // Each is sent once more; at most 256 at a time are repeated later again.
  EXPECT_GE(sent, 2 * kSyns - 4096);
  EXPECT_LE(sent, 2 * kSyns + kSyns / 1000 * (256 / 2 + 256 / 4) + 512);
}

}  // namespace
}  // namespace synproxy
