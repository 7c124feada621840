// SPDX-License-Identifier: BSD-3-Clause
// Data that the client sends before the server has answered is held in order and released, but
// never acknowledged.
#include <gtest/gtest.h>

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
