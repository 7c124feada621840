// SPDX-License-Identifier: BSD-3-Clause
// --hide-rtt: the server takes no sample of the round trip from the handshake with the proxy.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions hiding(HideRtt how = HideRtt::kOn) {
  HarnessOptions h;
  h.engine.tuning.hide_rtt = how;
  return h;
}

TEST(HideRtt, TheSynIsSentTwiceAndTheAckEchoesNothing) {
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      ProxyHarness p(hiding());
      Session c(p, {.ipv6 = ipv6, .tags = {{9, 0x8100}}, .timestamps = timestamps});
      c.syn();
      const DecodedFrame first = c.ack();
      const DecodedFrame second = p.take_server();
      EXPECT_EQ(second.seq, first.seq);
      EXPECT_EQ(second.flags, first.flags);
      EXPECT_EQ(second.options, first.options);
      EXPECT_EQ(second.window, first.window);
      const DecodedFrame ack = c.syn_ack();
      ASSERT_EQ(ack.timestamps.size(), timestamps ? 1U : 0U) << "RFC 7323 section 3.2";
      if (timestamps) {
        EXPECT_EQ(ack.tsval(), c.o.client_ts);
        EXPECT_EQ(ack.tsecr(), 0U);
      }
      p.expect_quiet();
      // What the client sends and echoes is translated as usual.
      const DecodedFrame request = c.client_sends("GET /");
      if (timestamps) {
        EXPECT_EQ(request.tsecr(), c.server_ts);
      }
      c.server_sends("200");
      c.close();
      EXPECT_EQ(p.count(Reason::conn_finished), 1U);
    }
  }
}

TEST(HideRtt, TheAnswerToTheSecondSynIsNoCallForAnotherAck) {
  ProxyHarness p(hiding());
  Session c(p);
  c.syn();
  c.ack();
  p.to_server.clear();
  c.syn_ack();
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kDrop);
  p.expect_quiet();
  // Neither end has sent anything: the ACK may have been lost.
  p.advance(200);
  EXPECT_EQ(p.take_server().tsecr(), 0U);
  // A server that has got neither repeats its SYN-ACK.
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
}

TEST(HideRtt, HeldDataFollowsTheOneAck) {
  ProxyHarness p(hiding());
  Session c(p);
  c.syn();
  c.ack();
  p.to_server.clear();
  p.from_client(c.client(kAck | kPsh).payload("GET /").build());
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  EXPECT_EQ(p.take_server().text(), "GET /");
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kDrop);
  p.expect_quiet();
}

// The SYN that asks what a service can do goes out once; the SYN of the connection follows, twice.
TEST(HideRtt, AServerThatShowsMoreIsAskedTwiceForWhatWasPromised) {
  HarnessOptions h = hiding();
  h.engine.tuning.offer = {};
  ProxyHarness p(h);
  Session c(p, {.timestamps = false});
  SessionOptions asked;  // the server is asked for timestamps, which the client lacks
  EXPECT_EQ(p.from_client(c.syn_frame()), Verdict::kReply);
  c.cookie = p.take_client().seq;
  EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
  const DecodedFrame probe = p.take_server();
  EXPECT_EQ(probe.timestamps.size(), 1U);
  p.expect_quiet();
  Session more(p, asked);
  EXPECT_EQ(p.from_server(more.syn_ack_frame()), Verdict::kReply);
  EXPECT_TRUE(p.take_server().has(kRst));
  for (unsigned i = 0; i < 2; ++i) {
    const DecodedFrame syn = p.take_server();
    EXPECT_TRUE(syn.has(kSyn));
    EXPECT_TRUE(syn.timestamps.empty());
  }
  p.expect_quiet();
  c.syn_ack();
  c.client_sends("GET /");
}

TEST(HideRtt, DeadServerIsAskedAgainAsEver) {
  ProxyHarness p(hiding());
  Session c(p);
  c.syn();
  c.ack();
  p.to_server.clear();
  for (const std::uint64_t wait : {200U, 400U, 800U}) {
    p.advance(wait - 1);
    p.expect_quiet();
    p.advance(1);
    EXPECT_TRUE(p.take_server().has(kSyn));
    p.expect_quiet();
  }
}

TEST(HideRtt, OffTheSynIsSentOnceAndTheAckEchoes) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  p.expect_quiet();
  EXPECT_EQ(c.syn_ack().tsecr(), c.server_first_ts);
}

// The server has `segments` of 1,400 bytes under way, for `ms`; each round trip takes 100 ms. The
// proxy sees time pass in between.
void download(ProxyHarness& p, Session& c, unsigned segments, unsigned ms) {
  for (unsigned at = 0; at < ms; at += 100) {
    for (unsigned i = 0; i < segments; ++i) c.server_sends(std::string(1400, 'x'));
    for (unsigned step = 0; step < 10; ++step) p.advance(10);
    ASSERT_EQ(p.from_client(c.client().build()), Verdict::kForward);
    p.to_server.clear();
  }
}

// How many SYNs the server gets for a new connection; the handshake is completed.
std::size_t syns_of_a_connection(ProxyHarness& p, SessionOptions o) {
  Session c(p, o);
  c.syn();
  c.ack();
  const std::size_t syns = 1 + p.to_server.size();
  p.to_server.clear();
  const DecodedFrame ack = c.syn_ack();
  if (!ack.timestamps.empty()) {
    EXPECT_EQ(ack.tsecr() == 0, syns == 2);
  }
  return syns;
}

TEST(HideRtt, AutoHidesFromAServiceThatWasSeenToCrawl) {
  for (const bool ipv6 : {false, true}) {
    HarnessOptions h = hiding(HideRtt::kAuto);
    h.protect = {"203.0.113.10:80", "203.0.113.10:443", "[2001:db8::10]:80", "[2001:db8::10]:443"};
    ProxyHarness p(h);
    Session first(p, {.ipv6 = ipv6});
    first.open();
    EXPECT_EQ(syns_of_a_connection(p, {.ipv6 = ipv6, .client_port = 40001}), 1U);
    download(p, first, 80, 500);
    EXPECT_EQ(p.count(Reason::service_crawls), 0U);
    download(p, first, 16, 2500);
    EXPECT_EQ(p.count(Reason::service_crawls), 1U);
    EXPECT_EQ(syns_of_a_connection(p, {.ipv6 = ipv6, .client_port = 40002}), 2U);
    EXPECT_EQ(syns_of_a_connection(p, {.ipv6 = ipv6, .client_port = 40003, .timestamps = false}),
              2U);
    // Another service of the same host is another server.
    EXPECT_EQ(syns_of_a_connection(p, {.ipv6 = ipv6, .server_port = 443}), 1U);
    EngineTuning off = small_engine().tuning;
    off.hide_rtt = HideRtt::kOff;
    p.retune(off);
    EXPECT_EQ(syns_of_a_connection(p, {.ipv6 = ipv6, .client_port = 40004}), 1U);
  }
}

TEST(HideRtt, AutoHidesNothingFromAServiceThatKeepsItsWindow) {
  for (const unsigned segments : {4U, 60U}) {
    ProxyHarness p(hiding(HideRtt::kAuto));
    Session first(p);
    first.open();
    download(p, first, segments, 8000);
    EXPECT_EQ(p.count(Reason::service_crawls), 0U);
    EXPECT_EQ(syns_of_a_connection(p, {.client_port = 40001}), 1U);
  }
}

// Whatever was lost explains a smaller window.
TEST(HideRtt, AutoHidesNothingFromAServiceThatRepeats) {
  ProxyHarness p(hiding(HideRtt::kAuto));
  Session first(p);
  first.open();
  download(p, first, 80, 500);
  for (unsigned n = 0; n < 5; ++n) {
    first.server_nxt -= 1400;
    first.server_sends(std::string(1400, 'x'));
    download(p, first, 16, 1000);
  }
  EXPECT_EQ(p.count(Reason::service_crawls), 0U);
}

// A small answer now and then: nothing is under way for most of the time.
TEST(HideRtt, AutoHidesNothingFromAServiceWithLittleToSay) {
  ProxyHarness p(hiding(HideRtt::kAuto));
  Session first(p);
  first.open();
  download(p, first, 80, 500);
  for (unsigned n = 0; n < 40; ++n) {
    first.client_sends("GET /");
    first.server_sends(std::string(1400, 'x'));
    p.advance(40);
    ASSERT_EQ(p.from_client(first.client().build()), Verdict::kForward);
    p.to_server.clear();
    for (unsigned step = 0; step < 16; ++step) p.advance(10);
  }
  EXPECT_EQ(p.count(Reason::service_crawls), 0U);
}

}  // namespace
}  // namespace synproxy
