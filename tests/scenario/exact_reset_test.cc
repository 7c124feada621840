// SPDX-License-Identifier: BSD-3-Clause
// Blind resets: somebody who knows a connection's addresses and ports, but not its numbers, sends
// whatever may fit. Resets of hosts that really end must still be believed.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "support/session.h"

namespace synproxy::test {
namespace {

// One connection on which both sides have spoken, with as large windows as there are.
struct Busy {
  explicit Busy(bool ipv6 = false, bool timestamps = true)
      : c(p, {.ipv6 = ipv6, .timestamps = timestamps, .client_scale = 7, .server_scale = 7}) {
    c.o.client_window = c.o.server_window = 0xffff;
    c.open();
    c.client_sends("GET");
    c.server_sends("200");
    c.client_sends("");
    quiet();
  }
  void quiet() {
    p.to_client.clear();
    p.to_server.clear();
  }
  [[nodiscard]] std::uint64_t resets() const { return p.count(Reason::conn_reset); }

  ProxyHarness p;
  Session c;
};

TEST(ExactReset, SweepOfTheWindowEndsNothingButAtTwoNumbers) {
  for (const bool ipv6 : {false, true}) {
    for (const bool server : {false, true}) {
      for (const std::uint16_t flags : {std::uint16_t{kRst}, std::uint16_t{kRst | kAck}}) {
        Busy b(ipv6);
        const std::uint32_t next = server ? b.c.server_nxt : b.c.client_nxt;
        // Every 64 KB of 2^24, on both sides of the number, and all numbers near it.
        std::vector<std::uint32_t> numbers;
        for (std::uint32_t i = 1; i <= 256; ++i) {
          for (const std::uint32_t low : {0U, 1U, 0xffffU}) {
            numbers.push_back(next + (i << 16) + low);
            numbers.push_back(next - (i << 16) - low);
          }
        }
        for (std::uint32_t i = 1; i <= 512; ++i) {
          numbers.push_back(next + i);
          numbers.push_back(next - i);
        }
        for (const std::uint32_t n : numbers) {
          server ? b.p.from_server(b.c.server(flags).seq(n).build())
                 : b.p.from_client(b.c.client(flags).seq(n).build());
        }
        EXPECT_EQ(b.resets(), 0U);
        b.quiet();
        server ? b.p.from_server(b.c.server(flags).build())
               : b.p.from_client(b.c.client(flags).build());
        EXPECT_EQ(b.resets(), 1U) << "the exact one";
      }
    }
  }
}

TEST(ExactReset, ForgedDataMovesNoNumberThatARstCouldThenHit) {
  for (const bool server : {false, true}) {
    Busy b;
    for (std::uint32_t ahead = 1; ahead < 1U << 22; ahead += 99'991) {
      for (const std::uint32_t ack : {0U, 4'000U}) {
        PacketBuilder data = server ? b.c.server() : b.c.client();
        data.seq((server ? b.c.server_nxt : b.c.client_nxt) + ahead).payload("forged");
        data.ack((server ? b.c.client_nxt : b.c.seen_by_client(b.c.server_nxt)) - ack);
        PacketBuilder rst = server ? b.c.server(kRst) : b.c.client(kRst);
        rst.seq((server ? b.c.server_nxt : b.c.client_nxt) + ahead + 6);
        server ? b.p.from_server(data.build()) : b.p.from_client(data.build());
        server ? b.p.from_server(rst.build()) : b.p.from_client(rst.build());
      }
    }
    EXPECT_EQ(b.resets(), 0U);
    b.quiet();
    // The connection goes on, and ends as ever.
    b.c.client_sends("more");
    b.c.server_sends("of it");
    b.c.close();
    EXPECT_EQ(b.p.count(Reason::conn_finished), 1U);
  }
}

TEST(ExactReset, ForgedFinsCloseNothing) {
  Busy b;
  for (std::uint32_t ahead = 10; ahead < 1U << 20; ahead += 65'537) {
    b.p.from_client(b.c.client(kFin | kAck).seq(b.c.client_nxt + ahead).build());
    b.p.from_server(b.c.server(kFin | kAck).seq(b.c.server_nxt + ahead).build());
    b.p.from_client(b.c.client(kFin | kAck).seq(b.c.client_nxt - ahead).build());
    b.p.from_server(b.c.server(kFin | kAck).seq(b.c.server_nxt - ahead).build());
  }
  b.quiet();
  b.c.client_sends("a");
  b.c.server_sends("b");
  b.c.client_sends("");
  EXPECT_EQ(b.p.counters().flows_established.get(), 1U);
  EXPECT_EQ(b.p.count(Reason::conn_finished), 0U);
}

// Somebody guessed right. Data behind a FIN shows that there was none.
TEST(ExactReset, DataBehindAForgedFinTakesItBack) {
  Busy b;
  b.p.from_client(b.c.client(kFin | kAck).build());
  b.p.from_server(b.c.server(kFin | kAck).ack(b.c.client_nxt + 1).build());
  b.p.from_client(
      b.c.client().seq(b.c.client_nxt + 1).ack(b.c.seen_by_client(b.c.server_nxt) + 1).build());
  EXPECT_EQ(b.p.count(Reason::conn_finished), 1U);
  b.quiet();
  b.c.client_nxt += 1;
  b.c.client_sends("alive");
  EXPECT_EQ(b.p.counters().flows_established.get(), 1U);
  b.p.advance(200'000);
  EXPECT_EQ(b.p.flows(), 1U);
}

// --- what really ends

// A FIN that overtakes data counts once the data is there.
TEST(ExactReset, FinThatOvertookItsDataCountsWhenAllIsAcknowledged) {
  for (const bool server : {false, true}) {
    for (const bool resent : {false, true}) {
      Busy b;
      const auto from = [&](std::uint16_t flags, std::uint32_t at, const char* text) {
        PacketBuilder s = server ? b.c.server(flags) : b.c.client(flags);
        s.seq((server ? b.c.server_nxt : b.c.client_nxt) + at).payload(text);
        server ? b.p.from_server(s.build()) : b.p.from_client(s.build());
      };
      from(kAck | kFin, 5, "world");
      from(kAck, 0, "hello");
      if (resent) from(kAck | kFin, 5, "world");
      (server ? b.c.server_nxt : b.c.client_nxt) += 11;
      b.quiet();
      server ? b.c.client_sends("", kAck | kFin) : b.c.server_sends("", kAck | kFin);
      server ? b.c.server_sends("", kAck) : b.c.client_sends("", kAck);
      EXPECT_EQ(b.p.count(Reason::conn_finished), 1U) << server << resent;
      b.quiet();
      b.p.expect_empty_after(63'000);
    }
  }
}

// A host that has forgotten the connection answers what reaches it. Its RST has the number that the
// other end acknowledged, even if data of its own was under way.
TEST(ExactReset, HostThatHasForgottenIsBelievedAtTheNumberOfTheOthersAck) {
  for (const bool ipv6 : {false, true}) {
    for (const bool server : {false, true}) {
      Busy b(ipv6);
      const std::uint32_t acked = server ? b.c.server_nxt : b.c.client_nxt;
      // What the windows allow from the server, 64 KB from the client.
      for (std::uint32_t sent = 0; sent < (server ? 7U << 20 : 60U << 10); sent += 1000) {
        const std::string text(1000, 'x');
        server ? b.c.server_sends(text) : b.c.client_sends(text);
        b.quiet();
      }
      PacketBuilder rst = server ? b.c.server(kRst) : b.c.client(kRst);
      rst.seq(acked).ack(0).flags(kRst);
      server ? b.p.from_server(rst.build()) : b.p.from_client(rst.build());
      EXPECT_EQ(b.resets(), 1U) << server;
    }
  }
}

// A RST whose number nobody can confirm: both ends are asked. A host that has forgotten answers
// with the number of our ACK, and that ends the connection within two seconds.
TEST(ExactReset, RstAnywhereInTheWindowIsAskedAbout) {
  for (const bool server : {false, true}) {
    for (const bool timestamps : {false, true}) {
      Busy b(false, timestamps);
      PacketBuilder rst = server ? b.c.server(kRst) : b.c.client(kRst);
      rst.seq((server ? b.c.server_nxt : b.c.client_nxt) + 3000);
      for (int i = 0; i < 100; ++i) {
        server ? b.p.from_server(rst.build()) : b.p.from_client(rst.build());
      }
      EXPECT_EQ(b.resets(), 0U);
      b.quiet();
      b.p.advance(1'500);
      EXPECT_EQ(b.p.count(Reason::keepalive_probe), timestamps ? 4U : 2U) << "one question for all";
      const DecodedFrame asked_client = b.p.take_client();
      const DecodedFrame asked_server = b.p.take_server();
      EXPECT_EQ(asked_client.seq, b.c.seen_by_client(b.c.server_nxt) - 1);
      EXPECT_EQ(asked_client.ack, b.c.client_nxt);
      EXPECT_EQ(asked_server.seq, b.c.client_nxt - 1);
      EXPECT_EQ(asked_server.ack, b.c.server_nxt);
      PacketBuilder gone = server ? b.c.server(kRst) : b.c.client(kRst);
      gone.seq(server ? asked_server.ack : asked_client.ack).ack(0).flags(kRst);
      server ? b.p.from_server(gone.build()) : b.p.from_client(gone.build());
      EXPECT_EQ(b.resets(), 1U);
    }
  }
}

// Nothing that the proxy says may acknowledge what its receiver has not got.
TEST(ExactReset, QuestionAcknowledgesOnlyWhatTheOtherEndHas) {
  Busy b;
  const std::uint32_t client_had = b.c.client_nxt;
  const std::uint32_t server_had = b.c.server_nxt;
  b.p.from_client(b.c.client().payload("lost behind us").build());
  b.p.from_server(b.c.server().payload("lost too").build());
  b.p.from_client(b.c.client(kRst).seq(b.c.client_nxt + 3000).build());
  b.quiet();
  b.p.advance(1'500);
  const DecodedFrame asked_client = b.p.take_client();
  const DecodedFrame asked_server = b.p.take_server();
  EXPECT_EQ(asked_client.ack, client_had);
  EXPECT_EQ(asked_client.seq, b.c.seen_by_client(server_had) - 1);
  EXPECT_EQ(asked_server.ack, server_had);
  EXPECT_EQ(asked_server.seq, client_had - 1);
}

// Somebody guessed right on a connection that idles. It is asked before it is forgotten.
TEST(ExactReset, IdleConnectionIsAskedBeforeItIsForgotten) {
  for (const bool server_answers : {false, true}) {
    Busy b;
    b.p.from_client(b.c.client(kRst).ack(0).flags(kRst).build());
    EXPECT_EQ(b.resets(), 1U);
    b.quiet();
    b.p.advance(54'000);
    b.p.expect_quiet();
    b.p.advance(3'000);
    EXPECT_EQ(b.p.count(Reason::keepalive_probe), 4U);
    b.quiet();
    server_answers ? b.c.server_sends("", kAck) : b.c.client_sends("", kAck);
    EXPECT_EQ(b.p.counters().flows_established.get(), 1U);
    b.p.advance(1'000'000);
    EXPECT_EQ(b.p.flows(), 1U);
  }
}

TEST(ExactReset, ConnectionWhoseEndsAreGoneIsForgottenInTime) {
  for (const bool answered : {false, true}) {
    Busy b;
    b.p.from_client(b.c.client(kRst).ack(0).flags(kRst).build());
    b.p.advance(57'000);
    b.quiet();
    if (answered) {
      b.p.from_client(b.c.client(kRst).build());
      b.p.from_server(b.c.server(kRst).build());
    }
    b.p.advance(4'500);
    EXPECT_EQ(b.p.flows(), 0U);
  }
}

}  // namespace
}  // namespace synproxy::test
