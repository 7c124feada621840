// SPDX-License-Identifier: BSD-3-Clause
// How connections end: FIN, RST, silence.
#include <gtest/gtest.h>

#include <utility>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// Found by the simulator: the numbers of the flow moved away from its ends until nothing fitted.
TEST(Close, DamagedNumbersMoveNothing) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session c(p);
  c.open();
  c.client_sends("hello");
  for (std::uint32_t far = 30'000; far <= 240'000; far += 30'000) {
    PacketBuilder damaged = c.client();
    damaged.seq(c.client_nxt + far).payload("x").break_l4_checksum();
    p.from_client(damaged.build());
    PacketBuilder back = c.server();
    back.seq(c.server_nxt + far).payload("x").break_l4_checksum();
    p.from_server(back.build());
    PacketBuilder acked = c.server();
    acked.ack(c.client_nxt + far).break_l4_checksum();
    p.from_server(acked.build());
  }
  p.to_server.clear();
  p.to_client.clear();
  c.close();
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

TEST(Close, FinBothWaysFinishesTheFlowAndTheCloseTimeoutFreesIt) {
  for (const bool server_first : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    c.close(server_first);
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
    EXPECT_EQ(p.counters().flows_established.get(), 0U);
    EXPECT_EQ(p.flows(), 1U);
    p.advance(55'000);
    EXPECT_EQ(p.flows(), 1U) << "kept to translate late segments";
    p.expect_empty_after(8'000);
    p.expect_quiet();
  }
}

TEST(Close, LateSegmentsOfAFinishedConnectionAreTranslated) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.close();
  p.advance(20'000);
  // The server did not get the last ACK: it repeats its FIN, and the client its answer.
  EXPECT_EQ(p.from_server(c.server(kAck | kFin).seq(c.server_nxt - 1).build()), Verdict::kForward);
  EXPECT_EQ(p.take_client().seq, c.seen_by_client(c.server_nxt - 1));
  EXPECT_EQ(p.from_client(c.client().build()), Verdict::kForward);
  EXPECT_EQ(p.take_server().ack, c.server_nxt);
}

TEST(Close, HalfClosedConnectionGoesOnInTheOtherDirection) {
  for (const bool server_first : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    server_first ? c.server_sends("", kAck | kFin) : c.client_sends("", kAck | kFin);
    server_first ? c.client_sends("", kAck) : c.server_sends("", kAck);
    p.advance(100'000);
    EXPECT_EQ(p.counters().flows_established.get(), 1U);
    for (int i = 0; i < 5; ++i) {
      server_first ? c.client_sends("upload") : c.server_sends("download");
      p.advance(30'000);
    }
    EXPECT_EQ(p.flows(), 1U);
  }
}

TEST(Close, FinsThatCrossFinishTheConnection) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const Bytes client_fin = c.client(kAck | kFin).build();
  const Bytes server_fin = c.server(kAck | kFin).build();
  EXPECT_EQ(p.from_client(client_fin), Verdict::kForward);
  EXPECT_EQ(p.from_server(server_fin), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_finished), 0U);
  ++c.client_nxt;
  ++c.server_nxt;
  EXPECT_EQ(p.from_client(c.client().build()), Verdict::kForward);
  EXPECT_EQ(p.from_server(c.server().build()), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

// RFC 5382 REQ-5: a closing connection lives four minutes. A repeat that backs off during an outage
// comes later than the close timeout.
TEST(Close, ConnectionThatIsClosingOutlivesARepeatThatBacksOff) {
  for (const bool reset : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    c.client_sends("", kAck | kFin);
    const Bytes lost = c.server().payload("never arrives").build();
    EXPECT_EQ(p.from_server(lost), Verdict::kForward);
    c.server_nxt += 13;
    EXPECT_EQ(p.from_server(c.server(kAck | kFin).build()), Verdict::kForward);
    p.to_client.clear();
    if (reset) {
      p.from_client(c.client(kRst | kAck).build());
      p.to_server.clear();
      p.advance(61'000);
      EXPECT_EQ(p.flows(), 0U) << "a RST has ended it";
      continue;
    }
    p.advance(239'000);
    EXPECT_EQ(p.from_server(lost), Verdict::kForward);
    EXPECT_EQ(p.take_client().text(), "never arrives");
    p.advance(239'000);
    EXPECT_EQ(p.flows(), 1U);
    p.advance(3'000);
    EXPECT_EQ(p.flows(), 0U);
  }
}

TEST(Close, FinWithABadChecksumChangesNothing) {
  ProxyHarness p;
  Session c(p);
  c.open();
  EXPECT_EQ(p.from_client(c.client(kAck | kFin).break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.from_server(c.server(kAck | kFin).break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 2U);
  p.advance(100'000);
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
}

TEST(Close, ForgedFinsOutOfWindowCloseNothing) {
  ProxyHarness p;
  Session c(p);
  c.open();
  p.from_client(c.client(kAck | kFin).seq(c.client_nxt + 0x20000000).build());
  p.from_client(c.client(kAck | kFin).ack(c.cookie + 0x20000000).flags(kAck | kFin).build());
  p.to_server.clear();
  c.server_sends("", kAck | kFin);
  c.client_sends("", kAck);
  EXPECT_EQ(p.count(Reason::conn_finished), 0U);
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
}

struct ResetRow {
  const char* sentence;
  bool server;
  std::int32_t offset;  // from the exact number
  Verdict verdict;
  std::uint64_t resets;
};

TEST(Close, ResetCountsWhereItHitsTheExactNumber) {
  const ResetRow rows[] = {
      {"client, exact", false, 0, Verdict::kForward, 1},
      {"client, one above: in window, the server judges it", false, 1, Verdict::kForward, 0},
      {"client, one below", false, -1, Verdict::kForward, 0},
      {"client, at the far end of the window", false, 60'000, Verdict::kForward, 0},
      {"client, out of window", false, 0x20000000, Verdict::kDrop, 0},
      {"client, out of window behind", false, -0x20000000, Verdict::kDrop, 0},
      {"server, exact", true, 0, Verdict::kForward, 1},
      {"server, one above", true, 1, Verdict::kForward, 0},
      {"server, out of window", true, 0x60000000, Verdict::kDrop, 0},
      {"server, out of window behind", true, -0x60000000, Verdict::kDrop, 0},
  };
  for (const bool ipv6 : {false, true}) {
    for (const ResetRow& row : rows) {
      SCOPED_TRACE(row.sentence);
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6});
      c.open();
      c.client_sends("hello");
      c.server_sends("hi");
      const auto offset = static_cast<std::uint32_t>(row.offset);
      const Verdict verdict =
          row.server ? p.from_server(c.server(kRst).seq(c.server_nxt + offset).build())
                     : p.from_client(c.client(kRst).seq(c.client_nxt + offset).build());
      EXPECT_EQ(verdict, row.verdict);
      EXPECT_EQ(p.count(Reason::rst_out_of_window), row.verdict == Verdict::kDrop ? 1U : 0U);
      EXPECT_EQ(p.count(Reason::conn_reset), row.resets);
      EXPECT_EQ(p.counters().flows_established.get(), 1 - row.resets);
      if (row.verdict == Verdict::kDrop) continue;
      const DecodedFrame f = row.server ? p.take_client() : p.take_server();
      EXPECT_EQ(f.seq,
                row.server ? c.seen_by_client(c.server_nxt) + offset : c.client_nxt + offset);
    }
  }
}

// A segment that did not fit was forwarded for the server to judge. If the server acknowledges it,
// the server has it.
TEST(Close, ResetBehindDataThatOnlyTheServerTookIsExact) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const Bytes unfit = c.client().ack(c.cookie + 0x20000000).payload("ten bytes.").build();
  EXPECT_EQ(p.from_client(unfit), Verdict::kForward);
  p.to_server.clear();
  c.client_nxt += 10;
  c.server_sends("", kAck);
  EXPECT_EQ(p.from_client(c.client(kRst).build()), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
}

TEST(Close, ResetWithABadChecksumIsDropped) {
  ProxyHarness p;
  Session c(p);
  c.open();
  EXPECT_EQ(p.from_client(c.client(kRst).break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.from_server(c.server(kRst).break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 2U);
  EXPECT_EQ(p.count(Reason::conn_reset), 0U);
}

TEST(Close, ResetConnectionIsFreedAfterTheCloseTimeout) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.server_sends("", kRst | kAck);
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  p.expect_empty_after(63'000);
  p.expect_quiet();
}

// A forged RST, or one that the other end did not accept, must not end a live connection.
TEST(Close, ConnectionThatProvesAliveAfterAResetComesBack) {
  for (const bool server : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    c.client_sends("hello");
    EXPECT_EQ(p.from_client(c.client(kRst).build()), Verdict::kForward);
    p.to_server.clear();
    EXPECT_EQ(p.counters().flows_established.get(), 0U);
    server ? c.server_sends("still translated") : c.client_sends("still translated");
    p.advance(5'000);
    server ? c.server_sends("and alive") : c.client_sends("and alive");
    EXPECT_EQ(p.counters().flows_established.get(), 1U);
    p.advance(100'000);
    EXPECT_EQ(p.flows(), 1U) << "it lives as long as any other";
  }
}

TEST(Close, ResetWithoutAFlowIsNeverAnswered) {
  ProxyHarness p;
  Session c(p);
  EXPECT_EQ(p.from_client(c.client(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(c.client(kRst | kAck).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_flow_client), 2U);
  EXPECT_EQ(p.from_server(c.server(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_flow_server), 1U);
  p.expect_quiet();
}

TEST(Close, ServerRefusingAtTheFirstDataResetsTheClientAtOnce) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("GET");
  // A listener with a full queue answers our ACK with a RST whose number comes from that ACK.
  PacketBuilder rst = c.server(kRst);
  EXPECT_EQ(p.from_server(rst.ack(0).flags(kRst).build()), Verdict::kForward);
  const DecodedFrame f = p.take_client();
  EXPECT_TRUE(f.has(kRst));
  EXPECT_EQ(f.seq, c.cookie + 1);
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
}

// With timestamps an end gets two keepalives: one without timestamps and one with old ones. Some
// stacks answer only the first (Linux 6.18), some only the second (RFC 7323 section 3.2).
TEST(Close, IdleConnectionIsProbedAndAnAnswerRenewsIt) {
  for (const auto& [server_answers, timestamps] :
       {std::pair(false, true), std::pair(true, true), std::pair(true, false)}) {
    ProxyHarness p;
    Session c(p, {.timestamps = timestamps});
    c.open();
    c.client_sends("hello");
    c.server_sends("hi");
    p.advance(7'420'000);
    p.expect_quiet();
    p.advance(30'000);
    for (std::size_t stamps = 0; stamps < (timestamps ? 2U : 1U); ++stamps) {
      const DecodedFrame to_client = p.take_client();
      const DecodedFrame to_server = p.take_server();
      EXPECT_EQ(to_client.flags, kAck);
      EXPECT_EQ(to_client.seq, c.seen_by_client(c.server_nxt) - 1);
      EXPECT_EQ(to_client.ack, c.client_nxt);
      EXPECT_EQ(to_client.timestamps.size(), stamps);
      EXPECT_EQ(to_server.flags, kAck);
      EXPECT_EQ(to_server.seq, c.client_nxt - 1);
      EXPECT_EQ(to_server.ack, c.server_nxt);
      EXPECT_EQ(to_server.timestamps.size(), stamps);
    }
    p.expect_quiet();
    EXPECT_EQ(p.count(Reason::keepalive_probe), timestamps ? 4U : 2U);
    server_answers ? c.server_sends("", kAck) : c.client_sends("", kAck);
    p.advance(7'300'000);
    EXPECT_EQ(p.flows(), 1U);
    EXPECT_EQ(p.count(Reason::conn_idle), 0U);
    p.expect_quiet();
  }
}

// Found by the simulator: a client that has lost much waits for longer than the proxy before it
// repeats. Some stacks (lwIP) look at the ack of any segment.
TEST(Close, KeepaliveAcknowledgesNothingThatWasLostBehindTheProxy) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("hello");
  c.server_sends("bye", kAck | kPsh | kFin);
  const std::uint32_t got = c.client_nxt;
  c.client_sends("lost");
  p.advance(120'000);
  EXPECT_EQ(p.count(Reason::keepalive_probe), 4U);
  const DecodedFrame to_client = p.take_client();
  EXPECT_EQ(to_client.flags, kAck);
  EXPECT_EQ(to_client.ack, got);
  EXPECT_EQ(p.take_server().seq, got - 1);
  p.to_client.clear();
  p.to_server.clear();
}

TEST(Close, IdleConnectionWithoutAnAnswerIsResetAtBothEnds) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .tags = {{42, 0x8100}}});
    c.open();
    c.client_sends("hello");
    c.server_sends("hi");
    p.advance(7'480'000);  // asked twice
    p.to_client.clear();
    p.to_server.clear();
    p.advance(30'000);
    const DecodedFrame to_client = p.take_client();
    EXPECT_TRUE(to_client.has(kRst));
    EXPECT_EQ(to_client.seq, c.seen_by_client(c.server_nxt));
    EXPECT_EQ(to_client.tags, c.o.tags);
    const DecodedFrame to_server = p.take_server();
    EXPECT_TRUE(to_server.has(kRst));
    EXPECT_EQ(to_server.seq, c.client_nxt);
    p.expect_quiet();
    EXPECT_EQ(p.count(Reason::conn_idle), 1U);
    EXPECT_EQ(p.counters().flows_established.get(), 0U);
    p.expect_empty_after(62'000);  // meanwhile an end that still lives was answered
  }
}

TEST(Close, MillisecondClockMayWrap) {
  ProxyHarness p;
  p.leap(0xffffffffULL - 3'600'000);  // 49.7 days, but for an hour
  p.advance(600'000);
  Session c(p);
  c.open();
  c.client_sends("before");
  p.advance(6'000'000);
  c.server_sends("after");
  EXPECT_EQ(p.flows(), 1U);
  c.close();
  p.expect_empty_after(63'000);
  Session next(p, {.client_port = 1234});
  next.syn();
  next.ack();
  p.advance(250);
  EXPECT_EQ(p.take_server().flags, kSyn);
  next.syn_ack();
}

}  // namespace
}  // namespace synproxy
