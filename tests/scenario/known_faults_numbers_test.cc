// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: sequence numbers and timestamps of the wrong
// moment, and handshakes that are not what they seem.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;
using Blocks = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

// The second connection of a 4-tuple has other offsets, other timestamps, other scales.
TEST(KnownFault, StaleOffsetAfterReopen) {
  struct Row {
    bool live;
    std::optional<std::uint8_t> scale;  // of the second server
  };
  for (const auto& [live, scale] : {Row{false, 9}, Row{true, 9}, Row{false, {}}, Row{true, {}}}) {
    SCOPED_TRACE(live ? "the first one was never closed" : "the first one was closed");
    ProxyHarness p;
    Session first(p, {.server_scale = 2});
    first.open();
    first.client_sends("one");
    first.server_sends("ONE");
    if (!live) first.close();
    p.advance(5);

    Session second(p, {.client_isn = 0x40000000,
                       .server_isn = 0x12345678,
                       .client_scale = 3,
                       .client_ts = 90'000,
                       .server_ts = 0xfffffff0,
                       .server_scale = scale});
    const unsigned offered = second.syn().window_scale.value_or(99);
    EXPECT_EQ(p.from_client(second.ack_frame()), Verdict::kDrop);
    if (live) {
      const DecodedFrame rst = p.take_server();
      EXPECT_TRUE(rst.has(kRst));
      EXPECT_EQ(rst.seq, first.client_nxt) << "the old connection's number";
    }
    EXPECT_EQ(p.take_server().seq, second.o.client_isn);
    EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
    EXPECT_EQ(second.syn_ack().tsecr(), second.o.server_ts);
    for (int i = 0; i < 3; ++i) {
      second.client_ts += 7;
      EXPECT_EQ(second.client_sends("request").tsecr(), second.server_ts);
      second.server_ts += 11;
      second.o.server_window = 1000;
      const DecodedFrame f = second.server_sends("response");
      EXPECT_EQ(f.tsval(), second.server_ts - second.ts_delta());
      EXPECT_EQ(f.window, std::min(65535U, 1000U << scale.value_or(0) >> offered));
      second.o.client_window = 1000;
      EXPECT_EQ(second.client_sends("").window, scale ? 1000 : 1000 << 3);
    }
    const std::uint32_t edge = second.seen_by_client(second.server_nxt) + 100;
    EXPECT_EQ(p.from_client(second.client().nop(2).sack(Blocks{{edge, edge + 50}}).build()),
              Verdict::kForward);
    EXPECT_EQ(p.take_server().sack, (Blocks{{second.server_nxt + 100, second.server_nxt + 150}}));
    second.close();
  }
}

// A RST in the middle of a connection has the numbers of that moment, on both sides.
TEST(KnownFault, MidStreamRstHasTheNumbersOfTheMoment) {
  const std::string much(1000, 'm');
  for (const bool from_client : {true, false}) {
    for (const std::uint16_t flags : {kRst, std::uint16_t(kRst | kAck)}) {
      ProxyHarness p;
      Session c(p);
      c.open();
      for (int i = 0; i < 5; ++i) {
        c.client_sends(much);
        c.server_sends(much);
      }
      PacketBuilder b = from_client ? c.client(flags) : c.server(flags);
      if ((flags & kAck) == 0) b.ack(0).flags(flags);
      EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, b.build()), Verdict::kForward);
      const DecodedFrame f = from_client ? p.take_server() : p.take_client();
      EXPECT_EQ(f.seq, from_client ? c.o.client_isn + 1 + 5000 : c.cookie + 1 + 5000);
      if ((flags & kAck) != 0) {
        EXPECT_EQ(f.ack, from_client ? c.o.server_isn + 1 + 5000 : c.o.client_isn + 1 + 5000);
      } else {
        EXPECT_EQ(f.ack, 0U) << "the field means nothing and stays as it is";
      }
      EXPECT_EQ(p.count(Reason::conn_reset), 1U);
    }
  }
  // A RST that the proxy makes itself, after two hours of silence.
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends(much);
  c.server_sends(much);
  p.advance(7'470'000);  // the keepalives are out
  p.to_client.clear();
  p.to_server.clear();
  p.advance(60'000);
  EXPECT_EQ(p.count(Reason::conn_idle), 1U);
  const DecodedFrame client_rst = p.take_client();
  EXPECT_TRUE(client_rst.has(kRst));
  EXPECT_EQ(client_rst.seq, c.cookie + 1 + 1000);
  const DecodedFrame server_rst = p.take_server();
  EXPECT_TRUE(server_rst.has(kRst));
  EXPECT_EQ(server_rst.seq, c.o.client_isn + 1 + 1000);
}

TEST(KnownFault, RstWithAWrongSequenceNumberClosesNothing) {
  for (const bool from_client : {true, false}) {
    for (const std::uint32_t wrong : {1U, 0xffffffffU, 1000U, 0xfffffc18U, 65'000U, 0x10000000U,
                                      0x7fffffffU, 0x80000000U, 0x90000000U}) {
      SCOPED_TRACE(wrong);
      ProxyHarness p;
      Session c(p);
      c.open();
      c.client_sends("hello");
      c.server_sends("hello");
      const PacketBuilder b = from_client ? c.client(kRst | kAck).seq(c.client_nxt + wrong)
                                          : c.server(kRst | kAck).seq(c.server_nxt + wrong);
      p.feed(from_client ? Role::kClient : Role::kServer, b.build());
      p.to_client.clear();
      p.to_server.clear();
      EXPECT_EQ(p.count(Reason::conn_reset), 0U);
      EXPECT_EQ(p.counters().flows_established.get(), 1U);
      p.advance(100'000);   // longer than a closing flow lives
      p.to_client.clear();  // what the proxy asks after a RST
      p.to_server.clear();
      c.client_sends("still here");
      c.server_sends("so am I");
    }
  }
}

// The ACK, a keepalive or a zero-window probe may open the connection: the server must be offered
// the same.
TEST(KnownFault, ProbeDecodesTheSameMssAsItsAck) {
  for (const bool timestamps : {true, false}) {
    for (const auto mss : std::to_array<std::uint16_t>({0, 536, 1000, 1220, 1440, 1460, 9000})) {
      for (const bool sack : {true, false}) {
        for (const auto scale : {std::optional<std::uint8_t>{}, std::optional<std::uint8_t>{0},
                                 std::optional<std::uint8_t>{14}}) {
          std::vector<DecodedFrame> syns;
          const auto open_by = [&](std::uint32_t back, std::string_view data) {
            ProxyHarness p;
            Session c(p,
                      {.timestamps = timestamps, .sack = sack, .client_scale = scale, .mss = mss});
            c.syn();
            PacketBuilder b = c.client();
            EXPECT_EQ(p.from_client(b.seq(c.client_nxt - back).payload(data).build()),
                      Verdict::kDrop);
            EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
            syns.push_back(p.take_server());
          };
          open_by(0, "");   // the ACK
          open_by(1, "");   // a keepalive
          open_by(1, "x");  // a keepalive with its byte of garbage
          open_by(0, "x");  // a probe of the window with the first byte
          for (const DecodedFrame& f : syns) {
            EXPECT_EQ(f.mss, syns.front().mss);
            EXPECT_EQ(f.options, syns.front().options);
            EXPECT_EQ(f.seq, syns.front().seq);
          }
        }
      }
    }
  }
}

// Its ack - 1 is a number like any other, and so is its seq - 1.
TEST(KnownFault, FinalAckOfAClosedConnectionIsNoCookieAck) {
  for (const bool server_first : {false, true}) {
    for (const char* data : {"", "G", "GET"}) {
      for (const bool timestamps : {true, false}) {
        ProxyHarness p;
        Session c(p, {.timestamps = timestamps});
        c.open();
        if (*data != 0) c.client_sends(data);
        c.close(server_first);
        const Bytes last = c.client().build();
        // While the flow is remembered, the ACK is passed on; later it is dropped.
        EXPECT_EQ(p.from_client(last), Verdict::kForward);
        EXPECT_EQ(p.take_server().flags, kAck);
        p.advance(62'000);
        EXPECT_EQ(p.flows(), 0U);
        for (const std::uint64_t wait : {0ULL, 1'000ULL, 32'000ULL, 64'000ULL}) {
          p.advance(wait);
          EXPECT_EQ(p.from_client(last), Verdict::kDrop);
        }
        EXPECT_EQ(p.count(Reason::cookie_invalid), 4U);
        EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
        EXPECT_EQ(p.count(Reason::syn_to_server), 1U);
        EXPECT_EQ(p.flows(), 0U);
        p.expect_quiet();
      }
    }
  }
}

TEST(KnownFault, ProbeOpensAConnectionAndThenDataFollows) {
  for (const bool timestamps : {true, false}) {
    for (const char* garbage : {"", "\x7f"}) {
      for (const bool while_waiting : {true, false}) {
        ProxyHarness p;
        Session c(p, {.timestamps = timestamps});
        c.syn();
        PacketBuilder probe = c.client();
        EXPECT_EQ(p.from_client(probe.seq(c.o.client_isn).payload(garbage).build()),
                  Verdict::kDrop);
        EXPECT_EQ(p.take_server().seq, c.o.client_isn);
        if (while_waiting) {
          EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("GET /").build()), Verdict::kDrop);
          EXPECT_EQ(p.count(Reason::early_held), 1U);
        }
        EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
        const DecodedFrame ack = p.take_server();
        EXPECT_EQ(ack.seq, c.o.client_isn + 1);
        EXPECT_TRUE(ack.payload.empty()) << "the probe's byte lies before the first one";
        if (while_waiting) {
          const DecodedFrame data = p.take_server();
          EXPECT_EQ(data.seq, c.o.client_isn + 1);
          EXPECT_EQ(data.ack, c.o.server_isn + 1);
          EXPECT_EQ(data.text(), "GET /");
          c.client_nxt += 5;
        } else {
          c.client_sends("GET /");
        }
        c.server_sends("200");
        c.close();
        p.expect_quiet();
      }
    }
  }
}

// A client that was shown no window asks for one with probes, which reach the server.
TEST(KnownFault, WindowUpdateToTheClientIsLost) {
  for (const std::uint32_t back : {0U, 1U}) {
    HarnessOptions h;
    h.engine.tuning.early_window = 0;
    ProxyHarness p(h);
    Session c(p);
    EXPECT_EQ(c.syn().window, 0);
    c.ack();
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    (void)p.take_server();
    EXPECT_GT(p.take_client().window, 0) << "this is the one that gets lost";
    for (const std::uint64_t wait : {200ULL, 400ULL, 5'000ULL}) {
      p.advance(wait);
      p.to_server.clear();  // our own ACK, once
      PacketBuilder probe = c.client();
      EXPECT_EQ(p.from_client(probe.seq(c.client_nxt - back).payload("G").build()),
                Verdict::kForward);
      const DecodedFrame at_server = p.take_server();
      EXPECT_EQ(at_server.seq, c.client_nxt - back);
      EXPECT_EQ(at_server.ack, c.server_nxt);
      EXPECT_EQ(p.from_server(c.server().window(501).build()), Verdict::kForward);
      const DecodedFrame answer = p.take_client();
      EXPECT_EQ(answer.window, 501);
      EXPECT_EQ(answer.seq, c.cookie + 1);
    }
    c.client_sends("GET /");
  }
}

TEST(KnownFault, ServersSynAckAgainAfterTheSplice) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const auto syn_ack = [&](std::uint32_t tsval) {
    PacketBuilder b;
    b.macs(kServerMac, kClientMac).ip(c.o.server, c.o.client).ports(80, c.o.client_port);
    b.seq(c.o.server_isn).ack(c.o.client_isn + 1).flags(kSyn | kAck).window(65'160);
    b.mss(1460).sack_permitted().timestamps(tsval, c.o.client_ts).window_scale(7);
    return b.build();
  };
  const auto again = [&](std::uint32_t tsval) {
    EXPECT_EQ(p.from_server(syn_ack(tsval)), Verdict::kReply);
    const DecodedFrame ack = p.take_server();
    EXPECT_EQ(ack.flags, kAck);
    EXPECT_EQ(ack.seq, c.o.client_isn + 1);
    EXPECT_EQ(ack.ack, c.o.server_isn + 1);
    EXPECT_EQ(ack.tsval(), c.o.client_ts);
    EXPECT_EQ(ack.tsecr(), tsval) << "the echo of this one";
    p.expect_quiet();  // nothing of it reaches the client
  };
  again(c.o.server_ts);
  again(c.o.server_ts + 1000);
  EXPECT_EQ(c.client_sends("GET").tsecr(), c.server_ts) << "the deltas are those of the first";
  again(c.o.server_ts + 3000);
  c.server_ts += 4000;
  EXPECT_EQ(c.server_sends("200").tsval(), c.server_ts - c.ts_delta());
  // A server that has sent data is past its handshake: this is a late copy.
  EXPECT_EQ(p.from_server(syn_ack(c.o.server_ts + 1000)), Verdict::kDrop);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
  EXPECT_EQ(p.flows(), 1U);
  c.close();
}

// In segments that the proxy makes, TSecr is the server's own number. Translated once more, it
// would be a number that the server never sent, and a current kernel drops the segment.
TEST(KnownFault, AckToTheServerIsNotTranslatedTwice) {
  for (const std::uint32_t server_ts : {700'000U, 0U, 1U, 0xffffffffU, 0x80000000U}) {
    SCOPED_TRACE(server_ts);
    ProxyHarness p;
    Session c(p, {.server_ts = server_ts});
    c.syn();
    c.ack();
    EXPECT_EQ(p.from_client(c.client().payload("early").build()), Verdict::kDrop);
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    const DecodedFrame ack = p.take_server();
    EXPECT_EQ(ack.ack, c.o.server_isn + 1);
    EXPECT_EQ(ack.tsval(), c.o.client_ts);
    EXPECT_EQ(ack.tsecr(), server_ts);
    const DecodedFrame released = p.take_server();
    EXPECT_EQ(released.ack, c.o.server_isn + 1);
    EXPECT_EQ(released.tsecr(), server_ts) << "what is held is translated once";

    Session quiet(p, {.client_port = 41000, .server_ts = server_ts});
    quiet.open();
    p.advance(250);
    const DecodedFrame repeat = p.take_server();
    EXPECT_EQ(repeat.ack, quiet.o.server_isn + 1);
    EXPECT_EQ(repeat.tsecr(), server_ts) << "nor is the repeated one";
    p.expect_quiet();
  }
}

}  // namespace
}  // namespace synproxy
