// SPDX-License-Identifier: BSD-3-Clause
// Keepalives and window probes in every state of a connection, and connections that stay half
// closed for hours.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// RFC 9293 section 3.8.4: the byte before the next one again, or no byte.
PacketBuilder keepalive(const Session& c, bool from_client, std::string_view byte) {
  PacketBuilder b = from_client ? c.client() : c.server();
  b.seq((from_client ? c.client_nxt : c.server_nxt) - 1).payload(byte);
  return b;
}
// Section 3.8.6.1: the next byte, although the window is closed.
PacketBuilder window_probe(const Session& c, bool from_client) {
  PacketBuilder b = from_client ? c.client() : c.server();
  b.payload("w");
  return b;
}

// All three shapes pass from both ends with the right numbers and are answered by the other end.
void probes_pass(Session& c) {
  ProxyHarness& p = c.proxy;
  for (const bool from_client : {true, false}) {
    const Role side = from_client ? Role::kClient : Role::kServer;
    for (const int shape : {0, 1, 2}) {
      const PacketBuilder b = shape == 2 ? window_probe(c, from_client)
                                         : keepalive(c, from_client, shape == 1 ? "k" : "");
      EXPECT_EQ(p.feed(side, b.build()), Verdict::kForward);
      const DecodedFrame f = from_client ? p.take_server() : p.take_client();
      const std::uint32_t back = shape == 2 ? 0 : 1;
      EXPECT_EQ(f.seq, (from_client ? c.client_nxt : c.seen_by_client(c.server_nxt)) - back);
      EXPECT_EQ(f.ack, from_client ? c.server_nxt : c.client_nxt);
      EXPECT_EQ(f.payload.size(), shape == 0 ? 0U : 1U);
      // The answer: a bare ACK that takes nothing, the window still closed.
      const PacketBuilder answer = from_client ? c.server().window(0) : c.client().window(0);
      EXPECT_EQ(p.feed(other(side), answer.build()), Verdict::kForward);
      const DecodedFrame a = from_client ? p.take_client() : p.take_server();
      EXPECT_EQ(a.window, 0);
      EXPECT_EQ(a.ack, from_client ? c.client_nxt : c.server_nxt);
    }
  }
  p.expect_quiet();
}

TEST(Probes, InSynSentAreNeitherHeldNorAnswered) {
  for (const std::uint32_t window : {14'600U, 0U}) {
    HarnessOptions h;
    h.engine.tuning.early_window = window;
    ProxyHarness p(h);
    Session c(p);
    c.syn();
    c.ack();
    for (const char* byte : {"", "k"}) {
      EXPECT_EQ(p.from_client(keepalive(c, true, byte).build()), Verdict::kDrop);
    }
    EXPECT_EQ(p.count(Reason::cookie_retrans), 2U);
    // With a window this is the first byte of data; without one the client will send it again.
    EXPECT_EQ(p.from_client(window_probe(c, true).build()), Verdict::kDrop);
    EXPECT_EQ(p.count(window != 0 ? Reason::early_held : Reason::early_dropped), 1U);
    p.expect_quiet();
    EXPECT_EQ(p.flows(), 1U);
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().seq, c.o.client_isn + 1);
  }
}

TEST(Probes, PassWhileEstablished) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.open();
    probes_pass(c);
    c.client_sends("data");
    c.server_sends("data");
    probes_pass(c);
    c.client_sends("and on");
  }
}

TEST(Probes, PassWhileHalfClosed) {
  for (const bool server_first : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    server_first ? c.server_sends("", kAck | kFin) : c.client_sends("", kAck | kFin);
    server_first ? c.client_sends("", kAck) : c.server_sends("", kAck);
    probes_pass(c);
    EXPECT_EQ(p.counters().flows_established.get(), 1U);
    EXPECT_EQ(p.count(Reason::conn_finished), 0U);
    server_first ? c.client_sends("upload") : c.server_sends("download");
  }
}

TEST(Probes, PassWhileClosingAndAfter) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("", kAck | kFin);
  c.server_sends("", kAck | kFin);
  EXPECT_EQ(p.counters().flows_established.get(), 0U) << "closing: the last ACK is missing";
  EXPECT_EQ(p.from_server(keepalive(c, false, "").build()), Verdict::kForward);
  EXPECT_EQ(p.take_client().seq, c.seen_by_client(c.server_nxt) - 1);
  c.client_sends("", kAck);
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  probes_pass(c);
  EXPECT_EQ(p.count(Reason::cookie_valid), 1U) << "and open nothing";
}

// A RST tells the client that nobody is there. It has the number of the probe, so the client
// accepts it.
TEST(Probes, OnATombstoneGetAReset) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_server(c.server(kRst | kAck).seq(0).build()), Verdict::kDrop);
  EXPECT_TRUE(p.take_client().has(kRst));
  for (const PacketBuilder& b :
       {keepalive(c, true, ""), keepalive(c, true, "k"), window_probe(c, true)}) {
    EXPECT_EQ(p.from_client(b.build()), Verdict::kReply);
    const DecodedFrame rst = p.take_client();
    EXPECT_TRUE(rst.has(kRst));
    EXPECT_EQ(rst.seq, c.cookie + 1);
  }
  EXPECT_EQ(p.count(Reason::syn_to_server), 1U);
  p.expect_quiet();
}

// A download that trickles for ten hours after the client's FIN. Meanwhile the server answers what
// it is asked.
TEST(HalfClose, LastsForHoursWhileTheOtherSideSpeaks) {
  for (const bool server_first : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    server_first ? c.server_sends("", kAck | kFin) : c.client_sends("", kAck | kFin);
    server_first ? c.client_sends("", kAck) : c.server_sends("", kAck);
    for (int i = 0; i < 10; ++i) {
      for (int minute = 0; minute < 60; ++minute) {
        p.leap(60'000);
        if (p.quiet()) continue;
        p.to_client.clear();
        p.to_server.clear();
        c.server_sends("", kAck);
      }
      EXPECT_EQ(p.flows(), 1U);
      server_first ? c.client_sends("an hour later") : c.server_sends("an hour later");
      server_first ? c.server_sends("", kAck) : c.client_sends("", kAck);
    }
    server_first ? c.client_sends("", kAck | kFin) : c.server_sends("", kAck | kFin);
    server_first ? c.server_sends("", kAck) : c.client_sends("", kAck);
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
    EXPECT_EQ(p.count(Reason::conn_idle), 0U);
  }
}

// Silent for ten hours: the ends answer our keepalives, and that is enough.
TEST(HalfClose, LastsForHoursInSilenceWhileAnEndAnswers) {
  for (const bool client_answers : {true, false}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    c.client_sends("", kAck | kFin);
    c.server_sends("", kAck);
    unsigned probes = 0;
    for (int minute = 0; minute < 600; ++minute) {
      p.leap(20'000);
      p.leap(20'000);
      p.leap(20'000);
      if (p.quiet()) continue;
      ++probes;
      for (int with_and_without_timestamps = 0; with_and_without_timestamps < 2;
           ++with_and_without_timestamps) {
        const DecodedFrame at_client = p.take_client();
        EXPECT_EQ(at_client.seq, c.seen_by_client(c.server_nxt) - 1);
        EXPECT_EQ(at_client.ack, c.client_nxt);
        EXPECT_EQ(p.take_server().seq, c.client_nxt - 1) << "our FIN, once more";
      }
      client_answers ? c.client_sends("", kAck) : c.server_sends("", kAck);
      p.expect_quiet();
    }
    EXPECT_GE(probes, 4U);
    EXPECT_EQ(p.flows(), 1U);
    c.server_sends("still here");
  }
}

}  // namespace
}  // namespace synproxy
