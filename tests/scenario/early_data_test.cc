// SPDX-License-Identifier: BSD-3-Clause
// Data that the client sends before the server has answered is held in order and released, but
// never acknowledged.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// In syn_sent, nothing held.
struct Waiting {
  explicit Waiting(HarnessOptions h = {}, SessionOptions o = {})
      : p(std::move(h)), c(p, std::move(o)) {
    c.syn();
    c.ack();
  }
  // `at`: offset in the client's stream.
  Verdict send(std::uint32_t at, std::string_view text, std::uint16_t flags = kAck | kPsh) {
    return p.from_client(c.client(flags).seq(c.o.client_isn + 1 + at).payload(text).build());
  }
  // Lets the server answer. Returns what it gets besides the ACK, put together.
  std::string splice() {
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().flags, kAck);
    std::string got;
    std::uint32_t next = c.o.client_isn + 1;
    while (!p.to_server.empty()) {
      const DecodedFrame f = p.take_server();
      EXPECT_EQ(f.seq, next) << "in order and without a hole";
      EXPECT_EQ(f.ack, c.o.server_isn + 1);
      next += f.seq_length();
      got += f.text();
    }
    EXPECT_EQ(p.early_buffers(), 0U) << "everything held was sent or freed";
    return got;
  }
  ProxyHarness p;
  Session c;
};

TEST(EarlyData, IsReleasedInOrderWhenTheServerAnswers) {
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      Waiting w({}, {.ipv6 = ipv6, .tags = {{9, 0x8100}}, .timestamps = timestamps});
      EXPECT_EQ(w.send(0, "GET "), Verdict::kDrop);
      EXPECT_EQ(w.send(4, "/ HTTP"), Verdict::kDrop);
      EXPECT_EQ(w.send(10, "/1.0"), Verdict::kDrop);
      EXPECT_EQ(w.p.count(Reason::early_held), 3U);
      EXPECT_GT(w.p.early_buffers(), 0U);
      w.p.expect_quiet();
      EXPECT_EQ(w.splice(), "GET / HTTP/1.0");
      EXPECT_EQ(w.p.count(Reason::early_released), 3U);
      w.c.client_nxt += 14;
      w.c.client_sends("and on");
      w.c.server_sends("ok");
    }
  }
}

TEST(EarlyData, OnlyTheNextExpectedSegmentIsHeld) {
  Waiting w;
  w.send(4, "efgh");  // a hole before it
  EXPECT_EQ(w.p.count(Reason::early_dropped), 1U);
  w.send(0, "abcd");
  w.send(0, "abcd");  // duplicate
  w.send(2, "cdef");  // overlap: dropped whole, the client sends it again
  w.send(0, "abcdef");
  EXPECT_EQ(w.p.count(Reason::early_held), 1U);
  EXPECT_EQ(w.p.count(Reason::early_dropped) + w.p.count(Reason::cookie_retrans), 4U);
  w.send(4, "ef");
  EXPECT_EQ(w.splice(), "abcdef");
}

TEST(EarlyData, DuplicateOfHeldDataAfterTheSplicePassesToTheServer) {
  Waiting w;
  w.send(0, "abcd");
  EXPECT_EQ(w.splice(), "abcd");
  EXPECT_EQ(w.send(0, "abcd"), Verdict::kForward);
  EXPECT_EQ(w.p.take_server().text(), "abcd") << "the server acknowledges it once more";
}

TEST(EarlyData, NothingFollowsAFin) {
  Waiting w;
  w.send(0, "last", kAck | kFin);
  EXPECT_EQ(w.p.count(Reason::early_held), 1U);
  w.send(4, "more");
  w.send(5, "more");
  EXPECT_EQ(w.p.count(Reason::early_held), 1U);
  EXPECT_EQ(w.splice(), "last");
  w.c.client_nxt += 5;
  w.c.server_sends("", kAck | kFin);
  w.c.client_sends("", kAck);
  EXPECT_EQ(w.p.count(Reason::conn_finished), 1U);
}

TEST(EarlyData, NoMoreThanTheAdvertisedWindowIsHeld) {
  HarnessOptions h;
  h.engine.tuning.early_window = 3000;
  Waiting w(h);
  const std::string full(1460, 'a');
  EXPECT_EQ(w.send(0, full), Verdict::kDrop);
  EXPECT_EQ(w.send(1460, full), Verdict::kDrop);
  EXPECT_EQ(w.p.count(Reason::early_held), 2U);
  EXPECT_EQ(w.send(2920, std::string(81, 'b')), Verdict::kDrop);
  EXPECT_EQ(w.p.count(Reason::early_dropped), 1U) << "one byte over the window";
  EXPECT_EQ(w.send(2920, std::string(80, 'b')), Verdict::kDrop);
  EXPECT_EQ(w.p.count(Reason::early_held), 3U);
  EXPECT_EQ(w.splice(), full + full + std::string(80, 'b'));
}

TEST(EarlyData, NoMoreThanSixteenSegmentsAreHeld) {
  Waiting w;
  std::string all;
  for (std::uint32_t i = 0; i < 20; ++i) {
    w.send(i, std::string(1, static_cast<char>('a' + i)));
    if (i < 16) all += static_cast<char>('a' + i);
  }
  EXPECT_EQ(w.p.count(Reason::early_held), 16U);
  EXPECT_EQ(w.p.count(Reason::early_dropped), 4U);
  EXPECT_EQ(w.splice(), all);
  // The dropped data was not acknowledged: the client sends it again.
  w.c.client_nxt += 16;
  w.c.client_sends("qrst");
}

TEST(EarlyData, MemoryForAllOfItIsLimitedAndComesBack) {
  HarnessOptions h;
  h.engine.shape.early_data_memory = 8192;
  ProxyHarness p(h);
  std::vector<std::unique_ptr<Session>> all;
  for (std::uint16_t i = 0; i < 30; ++i) {
    SessionOptions o;
    o.client_port = static_cast<std::uint16_t>(3000 + i);
    all.push_back(std::make_unique<Session>(p, o));
    all.back()->syn();
    all.back()->ack();
    const Session& c = *all.back();
    p.from_client(c.client().payload(std::string(700, 'x')).build());
  }
  EXPECT_GT(p.count(Reason::early_held), 2U);
  EXPECT_GT(p.count(Reason::early_dropped), 10U);
  const std::uint64_t used = p.early_buffers();
  EXPECT_GT(used, 0U);
  for (const auto& c : all) {
    EXPECT_EQ(p.from_server(c->syn_ack_frame()), Verdict::kReply) << "no connection suffers more";
  }
  EXPECT_EQ(p.early_buffers(), 0U);
  EXPECT_EQ(p.count(Reason::early_released), p.count(Reason::early_held));
}

// Handshakes with addresses that nobody has, each with as much as it may hold, in segments of one
// byte or whole ones. `next` names the addresses.
void fill_with_silence(ProxyHarness& p, std::vector<std::unique_ptr<Session>>& all, unsigned flows,
                       std::size_t size, bool ipv6, const std::function<std::string()>& next) {
  for (std::uint16_t i = 0; i < flows; ++i) {
    SessionOptions o;
    o.ipv6 = ipv6;
    o.client_port = static_cast<std::uint16_t>(3000 + i);
    o.server = next();
    all.push_back(std::make_unique<Session>(p, o));
    Session& c = *all.back();
    c.syn();
    c.ack();
    for (unsigned n = 0; n < 16; ++n) {
      p.from_client(c.client().payload(std::string(size, 'x')).build());
      c.client_nxt += static_cast<std::uint32_t>(size);
    }
  }
  p.to_server.clear();
}

TEST(EarlyData, SixteenSmallSegmentsTakeThreeBuffers) {
  Waiting w;
  for (std::uint32_t i = 0; i < 16; ++i) w.send(i, "x");
  EXPECT_EQ(w.p.count(Reason::early_held), 16U);
  EXPECT_EQ(w.p.early_buffers(), 3U);
  EXPECT_EQ(w.splice(), std::string(16, 'x'));
}

// What a silent address was sent gives way; what another server was sent stays.
TEST(EarlyData, SilentAddressesDoNotTakeTheMemoryOfAFastServer) {
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t size : {1U, 900U}) {
      for (const unsigned addresses : {1U, 50U}) {
        SCOPED_TRACE(testing::Message() << ipv6 << " " << size << " " << addresses);
        HarnessOptions h;
        h.protect = {"203.0.113.0/24:80", "[2001:db8::/64]:80"};
        h.engine.shape.early_data_memory = 64 * 1024;
        ProxyHarness p(h);
        SessionOptions o;
        o.ipv6 = ipv6;
        Session before(p, o);
        before.syn();
        before.ack();
        p.from_client(before.client().payload("GET /before").build());

        std::vector<std::unique_ptr<Session>> silent;
        unsigned n = 0;
        fill_with_silence(p, silent, 200, size, ipv6, [&] {
          const std::string host = std::to_string(100 + n++ % addresses);
          return (ipv6 ? "2001:db8::" : "203.0.113.") + host;
        });
        // Its own memory, each time anew: a fast server answers before others come.
        for (std::uint16_t i = 0; i < 100; ++i) {
          o.client_port = static_cast<std::uint16_t>(20'000 + i);
          Session c(p, o);
          c.syn();
          c.ack();
          p.from_client(c.client().payload("GET /").build());
          EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
          EXPECT_EQ(p.take_server().flags, kAck);
          ASSERT_FALSE(p.to_server.empty()) << i;
          EXPECT_EQ(p.take_server().text(), "GET /");
        }
        EXPECT_EQ(p.from_server(before.syn_ack_frame()), Verdict::kReply);
        EXPECT_EQ(p.take_server().flags, kAck);
        ASSERT_FALSE(p.to_server.empty());
        EXPECT_EQ(p.take_server().text(), "GET /before");
      }
    }
  }
}

// It begins again with its first byte, and may close.
TEST(EarlyData, WhatGaveWayIsHeldWhenItComesAgain) {
  HarnessOptions h;
  h.protect = {"203.0.113.0/24:80"};
  h.engine.shape.early_data_memory = 4 * 512;
  ProxyHarness p(h);
  SessionOptions o;
  o.server = "203.0.113.100";
  Session loser(p, o);
  loser.syn();
  loser.ack();
  p.from_client(loser.client(kAck | kFin).payload(std::string(1400, 'l')).build());
  p.to_server.clear();
  EXPECT_EQ(p.early_buffers(), 3U);
  Session winner(p);
  winner.syn();
  winner.ack();
  p.from_client(winner.client().payload(std::string(700, 'w')).build());
  EXPECT_EQ(p.count(Reason::early_given_up), 1U);
  EXPECT_EQ(p.early_buffers(), 2U);
  p.to_server.clear();
  EXPECT_EQ(p.from_server(winner.syn_ack_frame()), Verdict::kReply);
  p.to_server.clear();
  p.from_client(loser.client(kAck | kFin).payload(std::string(1400, 'l')).build());
  EXPECT_EQ(p.count(Reason::early_held), 3U);
  EXPECT_EQ(p.from_server(loser.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  const DecodedFrame f = p.take_server();
  EXPECT_EQ(f.seq, o.client_isn + 1);
  EXPECT_EQ(f.text(), std::string(1400, 'l'));
  EXPECT_TRUE(f.has(kFin));
  EXPECT_EQ(p.early_buffers(), 0U);
}

// Within one service, new requests come first once the server has let our SYN go unanswered.
TEST(EarlyData, WithinAServiceWhatHasWaitedGivesWay) {
  HarnessOptions h;
  h.engine.shape.early_data_memory = 16 * 1024;
  ProxyHarness p(h);
  std::vector<std::unique_ptr<Session>> waiting;
  fill_with_silence(p, waiting, 40, 900, false, [] { return std::string(); });
  EXPECT_EQ(p.count(Reason::early_given_up), 0U);
  p.advance(250);
  p.to_server.clear();
  SessionOptions o;
  o.client_port = 9;
  Session c(p, o);
  c.syn();
  c.ack();
  const std::uint64_t held = p.count(Reason::early_held);
  p.from_client(c.client().payload(std::string(700, 'w')).build());
  EXPECT_EQ(p.count(Reason::early_held), held + 1);
  EXPECT_EQ(p.count(Reason::early_given_up), 1U);
}

TEST(EarlyData, NoMoreIsReleasedThanTheServersWindowTakes) {
  Waiting w({}, {.server_window = 2000});
  w.send(0, std::string(1000, 'a'));
  w.send(1000, std::string(1000, 'b'));
  w.send(2000, std::string(1000, 'c'));
  EXPECT_EQ(w.splice(), std::string(1000, 'a') + std::string(1000, 'b'));
  EXPECT_EQ(w.p.count(Reason::early_released), 2U);
  // Dropped, and never acknowledged: the client resends it.
  w.c.client_nxt += 2000;
  w.c.client_sends(std::string(1000, 'c'));
}

TEST(EarlyData, ServerWithAClosedWindowGetsNothing) {
  Waiting w({}, {.server_window = 0});
  w.send(0, "abc");
  EXPECT_EQ(w.splice(), "");
  w.c.client_sends("abc");
}

TEST(EarlyData, IsFreedWhenTheServerRefuses) {
  Waiting w;
  w.send(0, "GET /");
  EXPECT_GT(w.p.early_buffers(), 0U);
  PacketBuilder refused = w.c.server(kRst | kAck);
  w.p.from_server(refused.seq(0).build());
  EXPECT_EQ(w.p.early_buffers(), 0U);
  const DecodedFrame rst = w.p.take_client();
  EXPECT_TRUE(rst.has(kRst));
  EXPECT_EQ(rst.seq, w.c.cookie + 1);
}

TEST(EarlyData, IsFreedWhenTheServerIsDeadOrTheClientResets) {
  Waiting dead;
  dead.send(0, "GET /");
  dead.p.advance(12'000);
  EXPECT_EQ(dead.p.early_buffers(), 0U);
  const DecodedFrame rst = dead.p.take_client();
  EXPECT_TRUE(rst.has(kRst));
  EXPECT_EQ(rst.seq, dead.c.cookie + 1) << "what the client waits for: nothing was acknowledged";
  Waiting reset;
  reset.send(0, "GET /");
  // The client's own number has moved on by the data that it sent.
  reset.p.from_client(reset.c.client(kRst).seq(reset.c.o.client_isn + 6).build());
  EXPECT_EQ(reset.p.count(Reason::conn_aborted), 1U);
  EXPECT_EQ(reset.p.early_buffers(), 0U);
}

TEST(EarlyData, ResetInsideWhatIsHeldIsNotTakenForTheClients) {
  Waiting w;
  w.send(0, "GET /");
  for (std::uint32_t at = 1; at < 5; ++at) {
    w.p.from_client(w.c.client(kRst).seq(w.c.o.client_isn + 1 + at).build());
  }
  EXPECT_EQ(w.p.count(Reason::conn_aborted), 0U);
  EXPECT_EQ(w.p.count(Reason::rst_out_of_window), 4U);
  w.p.from_client(w.c.client(kRst).seq(w.c.o.client_isn + 1).build());
  EXPECT_EQ(w.p.count(Reason::conn_aborted), 1U) << "what our SYN-ACK acknowledged";
}

TEST(EarlyData, ResetBeyondWhatIsHeldIsNotTakenForTheClients) {
  Waiting w;
  w.send(100, "behind a hole");
  EXPECT_EQ(w.p.count(Reason::early_dropped), 1U);
  w.p.from_client(w.c.client(kRst).seq(w.c.o.client_isn + 1 + 113).build());
  EXPECT_EQ(w.p.count(Reason::rst_out_of_window), 1U) << "a late one of the connection before";
  EXPECT_EQ(w.splice(), "");
}

TEST(EarlyData, BadChecksumIsNotHeld) {
  Waiting w;
  EXPECT_EQ(w.p.from_client(w.c.client(kAck).payload("corrupt").break_l4_checksum().build()),
            Verdict::kDrop);
  EXPECT_EQ(w.p.count(Reason::bad_checksum), 1U);
  w.send(0, "healthy");
  EXPECT_EQ(w.splice(), "healthy");
}

TEST(EarlyData, IsTranslatedLikeAnyOther) {
  Waiting w({}, {.client_window = 502, .server_scale = std::nullopt});
  PacketBuilder b = w.c.client(kAck | kPsh);
  b.nop(2).sack({{w.c.cookie + 10, w.c.cookie + 20}}).payload("x").pad_to(120);
  w.p.from_client(b.build());
  EXPECT_EQ(w.p.from_server(w.c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(w.p.take_server().flags, kAck);
  const DecodedFrame f = w.p.take_server();
  EXPECT_EQ(f.window, 64256);
  EXPECT_EQ(f.sack.at(0).first, w.c.o.server_isn + 10);
  EXPECT_EQ(f.tsecr(), w.c.server_first_ts);
  EXPECT_EQ(f.trailing, 0U);
}

TEST(EarlyData, FillsManyFramesOfEverySize) {
  HarnessOptions h;
  h.engine.tuning.early_window = 65535;
  for (const std::size_t size : {1U, 300U, 458U, 459U, 1460U, 4000U}) {
    SCOPED_TRACE(size);
    Waiting w(h);
    w.p.room = 9216;
    std::string all;
    for (std::uint32_t i = 0; i < 16; ++i) {
      const std::string part(size, static_cast<char>('a' + i));
      if (all.size() + size > 65'160) break;  // the server's window
      w.send(static_cast<std::uint32_t>(all.size()), part);
      all += part;
    }
    EXPECT_EQ(w.splice(), all);
  }
}

}  // namespace
}  // namespace synproxy
