// SPDX-License-Identifier: BSD-3-Clause
// --mode adaptive and off: connections that are only watched, and the switches between the modes.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions in_mode(Mode mode) {
  HarnessOptions h;
  h.engine.tuning.mode = mode;
  h.engine.tuning.adaptive = {.backlog = 100, .syn_rate = 1'000};
  return h;
}

class Adaptive : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] SessionOptions session(std::uint16_t port = 40'000) const {
    SessionOptions o;
    o.ipv6 = GetParam();
    o.client_port = port;
    return o;
  }
  void passes_to_server(const Bytes& frame) {
    ASSERT_EQ(p.from_client(frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), frame);
  }
  void passes_to_client(const Bytes& frame) {
    ASSERT_EQ(p.from_server(frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kClient), frame);
  }
  void half_open(Session& s) {
    passes_to_server(s.syn_frame());
    passes_to_client(s.syn_ack_frame());
    s.untranslated();
  }
  void open_watched(Session& s) {
    half_open(s);
    passes_to_server(s.ack_frame());
  }
  // Both directions, byte for byte what the other end sent.
  void talks(Session& s) {
    const Bytes request = s.client(kAck | kPsh).payload("request").build();
    s.proxy.from_client(request);
    s.client_nxt += 7;
    const Bytes response = s.server(kAck | kPsh).payload("response").build();
    s.proxy.from_server(response);
    s.server_nxt += 8;
    if (s.cookie == s.o.server_isn) {
      EXPECT_EQ(p.take_raw(Role::kServer), request);
      EXPECT_EQ(p.take_raw(Role::kClient), response);
    } else {
      EXPECT_EQ(p.take_server().text(), "request");
      EXPECT_EQ(p.take_client().text(), "response");
    }
    p.expect_quiet();
  }
  // Forged SYNs that the server answers. Returns how many passed.
  unsigned flood(unsigned n, std::uint16_t first_port = 1'000) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; ++i) {
      SessionOptions o = session(static_cast<std::uint16_t>(first_port + i));
      o.client = GetParam() ? "2001:db8:1::66" : "198.51.100.66";
      const Session s(p, o);
      if (p.from_client(s.syn_frame()) != Verdict::kForward) continue;
      ++passed;
      p.from_server(s.syn_ack_frame());
    }
    p.to_client.clear();
    p.to_server.clear();
    return passed;
  }
  void set_mode(Mode mode) {
    EngineTuning t = in_mode(mode).engine.tuning;
    p.retune(t);
  }
  void pass_seconds(unsigned n) {
    p.advance(n * 1000ULL);
    p.to_client.clear();
    p.to_server.clear();
  }

  ProxyHarness p{in_mode(Mode::kAdaptive)};
};

TEST_P(Adaptive, InPeaceEveryOptionPassesByteForByte) {
  const std::vector<Bytes> options{
      {34, 10, 1, 2, 3, 4, 5, 6, 7, 8},           // Fast Open cookie (RFC 7413)
      {34, 2},                                    // asks for one
      {30, 4, 0x01, 0x81},                        // MP_CAPABLE (RFC 8684)
      {30, 12, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8},  // MP_JOIN
      {19, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},  // MD5 (RFC 2385)
      {253, 4, 0xf9, 0x89},                                            // an experiment
  };
  std::uint16_t port = 41'000;
  for (const Bytes& option : options) {
    Session s(p, session(++port));
    passes_to_server(s.from_client()
                         .seq(s.o.client_isn)
                         .flags(kSyn)
                         .mss(1460)
                         .option(option)
                         .payload("early")
                         .build());
    passes_to_client(s.from_server()
                         .seq(s.o.server_isn)
                         .ack(s.o.client_isn + 6)
                         .flags(kSyn | kAck)
                         .mss(1400)
                         .option(option)
                         .build());
    // With Fast Open the server may speak before the client's ACK.
    passes_to_client(s.from_server()
                         .seq(s.o.server_isn + 1)
                         .ack(s.o.client_isn + 6)
                         .flags(kAck)
                         .payload("answer")
                         .build());
    passes_to_server(s.from_client()
                         .seq(s.o.client_isn + 6)
                         .ack(s.o.server_isn + 7)
                         .flags(kAck)
                         .option(option)
                         .build());
    passes_to_server(s.from_client()
                         .seq(s.o.client_isn + 6)
                         .ack(s.o.server_isn + 7)
                         .flags(kAck | kPsh)
                         .option(option)
                         .payload("more")
                         .build());
  }
  EXPECT_EQ(p.count(Reason::conn_watched), options.size());
  EXPECT_EQ(p.count(Reason::synack_sent), 0U);
  EXPECT_EQ(p.counters().half_open.get(), 0U);
}

TEST_P(Adaptive, AWatchedConnectionIsFollowedToItsEnd) {
  Session s(p, session());
  half_open(s);
  p.advance(1);
  EXPECT_EQ(p.counters().half_open.get(), 1U);
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  passes_to_server(s.ack_frame());
  talks(s);
  // Exact numbers end it, others in the window do not (RFC 5961).
  passes_to_server(s.client(kRst).seq(s.client_nxt + 100).ack(0).flags(kRst).build());
  EXPECT_EQ(p.count(Reason::conn_reset), 0U);
  EXPECT_EQ(p.from_client(s.client(kRst).seq(s.client_nxt + (1U << 28)).build()), Verdict::kDrop);
  talks(s);
  s.close();
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  EXPECT_EQ(p.count(Reason::translated), 0U);
  p.expect_empty_after(400'000);
}

TEST_P(Adaptive, AnExactRstEndsIt) {
  Session s(p, session());
  open_watched(s);
  passes_to_client(s.server(kRst).build());
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  p.expect_empty_after(200'000);
}

TEST_P(Adaptive, HalfOpenConnectionsBeginCookies) {
  Session early(p, session(50'000));
  Session asked(p, session(50'001));
  Session before(p, session(50'002));
  open_watched(before);
  half_open(early);
  passes_to_server(asked.syn_frame());  // not answered yet
  // 25 of 100, and one more that was there before.
  EXPECT_EQ(flood(200), 25U);
  EXPECT_EQ(p.count(Reason::cookies_began), 1U);
  p.advance(1);
  EXPECT_EQ(p.counters().cookies_by_half_open.get(), 1U);
  EXPECT_EQ(p.counters().half_open.get(), 26U);
  p.to_client.clear();

  // What has begun with the server goes on with it.
  passes_to_server(early.ack_frame());
  passes_to_client(asked.syn_ack_frame());
  asked.untranslated();
  passes_to_server(asked.syn_frame());  // the SYN-ACK was lost: a repeat
  passes_to_server(asked.ack_frame());
  for (Session* s : {&before, &early, &asked}) talks(*s);
  // What begins now has a cookie.
  Session later(p, session(50'003));
  later.open();
  for (Session* s : {&before, &early, &asked, &later}) talks(*s);
}

TEST_P(Adaptive, CookiesEndAfterAMinuteOfCalmAndNobodyIsLost) {
  Session watched(p, session(50'000));
  open_watched(watched);
  flood(100);
  Session spliced(p, session(50'001));
  spliced.open();
  for (Session* s : {&watched, &spliced}) talks(*s);
  // While the flood goes on, cookies do, though nothing is half-open any more.
  for (int i = 0; i < 90; ++i) {
    flood(20, static_cast<std::uint16_t>(10'000 + 20 * i));
    pass_seconds(1);
  }
  EXPECT_EQ(p.counters().half_open.get(), 0U);
  EXPECT_EQ(p.count(Reason::cookies_ended), 0U);
  // Less than 12 in ten seconds, for 60 s.
  for (int i = 0; i < 68; ++i) {
    flood(1, static_cast<std::uint16_t>(20'000 + i));
    pass_seconds(1);
  }
  EXPECT_EQ(p.count(Reason::cookies_ended), 0U);
  Session late(p, session(50'002));
  late.syn();
  pass_seconds(6);
  EXPECT_EQ(p.count(Reason::cookies_ended), 1U);
  EXPECT_EQ(p.counters().cookies_by_half_open.get(), 0U);
  // Its cookie was sent before.
  late.ack();
  late.syn_ack();
  Session after(p, session(50'003));
  open_watched(after);
  for (Session* s : {&watched, &spliced, &late, &after}) talks(*s);
}

TEST_P(Adaptive, ACookieIsGoodThoughItsSynHasPassedToo) {
  flood(100);
  Session s(p, session());
  s.syn();
  pass_seconds(120);
  ASSERT_EQ(p.count(Reason::cookies_ended), 1U);
  flood(100);
  ASSERT_EQ(p.count(Reason::cookies_began), 2U);
  s.syn();
  EngineTuning t = in_mode(Mode::kAdaptive).engine.tuning;
  t.mode = Mode::kAlways;
  p.retune(t);
  t.mode = Mode::kAdaptive;
  p.retune(t);
  // At peace again: the client repeats its SYN, then it hears the cookie that was under way.
  passes_to_server(s.syn_frame());
  passes_to_client(s.syn_ack_frame());
  s.ack();
  s.syn_ack();
  talks(s);
}

// The client's own SYN has passed with a scale, and its cookie has no room for one: the MSS is
// below 536. The server would take the client's windows for larger than they are.
TEST_P(Adaptive, AScaleThatOnlyTheClientsOwnSynHasAskedForIsResetAndAskedAgain) {
  set_mode(Mode::kAlways);
  SessionOptions o = session();
  o.mss = 460;
  o.timestamps = o.sack = false;
  Session s(p, o);
  EXPECT_EQ(s.syn().window_scale, std::nullopt);
  set_mode(Mode::kOff);
  passes_to_server(s.syn_frame());
  EXPECT_EQ(s.ack().window_scale, std::nullopt);
  PacketBuilder answer = s.from_server();
  answer.seq(o.server_isn).ack(o.client_isn + 1).flags(kSyn | kAck).window(9'000).mss(1460);
  const Bytes old = PacketBuilder(answer).window_scale(7).build();
  EXPECT_EQ(p.from_server(old), Verdict::kReply);
  const DecodedFrame rst = p.take_server();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, o.client_isn + 1);
  const DecodedFrame again = p.take_server();
  EXPECT_EQ(again.flags, kSyn);
  EXPECT_EQ(again.window_scale, std::nullopt);
  EXPECT_EQ(p.from_server(old), Verdict::kDrop) << "a copy: a RST would end the new handshake";
  EXPECT_EQ(p.from_server(answer.build()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
}

TEST_P(Adaptive, ARateOfSynsBeginsCookies) {
  unsigned passed = 0;
  for (unsigned i = 0; i < 10'100; ++i) {
    SessionOptions o = session(static_cast<std::uint16_t>(1'000 + i));
    passed += p.from_client(Session(p, o).syn_frame()) == Verdict::kForward ? 1U : 0U;
    p.to_client.clear();
    p.to_server.clear();
  }
  EXPECT_EQ(passed, 10'000U);
  p.advance(1);
  EXPECT_EQ(p.counters().cookies_by_rate.get(), 1U);
  EXPECT_EQ(p.flows(), 0U);
}

TEST_P(Adaptive, ServicesAreApart) {
  HarnessOptions h = in_mode(Mode::kAdaptive);
  h.protect = {"203.0.113.10:80-81", "[2001:db8::10]:80-81"};
  ProxyHarness q(h);
  for (std::uint16_t i = 0; i < 100; ++i) {
    SessionOptions o = session(static_cast<std::uint16_t>(1'000 + i));
    const Session s(q, o);
    q.from_client(s.syn_frame());
    q.from_server(s.syn_ack_frame());
  }
  ASSERT_EQ(q.count(Reason::cookies_began), 1U);
  SessionOptions other = session();
  other.server_port = 81;
  EXPECT_EQ(q.from_client(Session(q, other).syn_frame()), Verdict::kForward);
  EXPECT_EQ(q.from_client(Session(q, session()).syn_frame()), Verdict::kReply);
  q.to_client.clear();
  q.to_server.clear();
}

TEST_P(Adaptive, WhatWasSeenInPeaceIsOffered) {
  HarnessOptions h = in_mode(Mode::kAdaptive);
  h.engine.tuning.offer = {};
  ProxyHarness q(h);
  for (std::uint16_t i = 0; i < 8; ++i) {
    SessionOptions o = session(static_cast<std::uint16_t>(1'000 + i));
    o.server_scale = 9;
    o.server_mss = 1'300;
    Session s(q, o);
    q.from_client(s.syn_frame());
    q.from_server(s.syn_ack_frame());
    s.untranslated();
    q.from_client(s.ack_frame());
  }
  q.to_client.clear();
  q.to_server.clear();
  EngineTuning t = h.engine.tuning;
  t.mode = Mode::kAlways;
  q.retune(t);
  Session s(q, session());
  const DecodedFrame f = s.syn();
  EXPECT_EQ(f.window_scale, 9);
  EXPECT_EQ(f.mss, 1'300);
  EXPECT_EQ(f.timestamps.size(), 1U);
}

// The cookie of another process is a good one, so only the check can refuse it.
TEST_P(Adaptive, InPeaceAnAckIsRefutedWithoutAHash) {
  ProxyHarness twin;
  Session s(twin, session());
  s.syn();
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  // Not where the secret is shared: the other process may have sent the cookie.
  HarnessOptions h = in_mode(Mode::kAdaptive);
  h.engine.shape.shared_secret = true;
  ProxyHarness sharing(h);
  EXPECT_EQ(sharing.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(sharing.count(Reason::cookie_valid), 1U);
  sharing.to_server.clear();
  // And not in an epoch in which some were sent.
  flood(100);
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
  p.to_server.clear();
}

TEST_P(Adaptive, ForgedAcksOpenNothingAndEndNothing) {
  Session s(p, session());
  half_open(s);
  for (std::uint32_t i = 0; i < 50; ++i) {
    p.from_client(s.client().ack(s.o.server_isn + 2 + 7919 * i).build());
    p.from_client(s.client(kRst).seq(s.client_nxt + 1 + i).build());
  }
  p.to_server.clear();
  p.advance(1);
  EXPECT_EQ(p.counters().half_open.get(), 1U);
  EXPECT_EQ(p.count(Reason::conn_watched), 0U);
  // The client's own RST frees the server's place and ours.
  passes_to_server(s.client(kRst).ack(0).flags(kRst).build());
  p.advance(1);
  EXPECT_EQ(p.counters().half_open.get(), 0U);
  EXPECT_EQ(p.flows(), 0U);
}

TEST_P(Adaptive, ARefusalOfTheServerPasses) {
  Session s(p, session());
  passes_to_server(s.syn_frame());
  passes_to_client(
      s.from_server().seq(0).ack(s.o.client_isn + 1).flags(kRst | kAck).window(0).build());
  passes_to_server(s.syn_frame());
  // A server that still has an older connection asks back (RFC 5961).
  passes_to_client(s.from_server().seq(77).ack(99).flags(kAck).build());
  EXPECT_EQ(p.flows(), 0U);
}

// Found by the simulator (seed 637): the server's answer to a question about a client whose cookie
// is good, and whose first segment was lost, must not reach that client.
TEST_P(Adaptive, ARstForAClientOnItsWayIsNotPassed) {
  for (const Mode mode : {Mode::kAdaptive, Mode::kOff}) {
    set_mode(Mode::kAlways);
    Session s(p, session(mode == Mode::kOff ? 50'001 : 50'000));
    s.syn();
    set_mode(mode);
    p.from_client(s.client(kAck | kPsh).seq(s.client_nxt + 100).payload("later").build());
    p.to_server.clear();
    EXPECT_EQ(p.from_server(s.from_server().seq(s.cookie + 1).flags(kRst).build()), Verdict::kDrop);
    s.ack();
    s.syn_ack();
    talks(s);
  }
}

TEST_P(Adaptive, ANewConnectionTakesThePlaceOfAnOldOne) {
  Session s(p, session());
  open_watched(s);
  talks(s);
  s.close();
  SessionOptions again = session();
  again.client_isn += 0x10000;
  again.server_isn += 0x20000;
  Session next(p, again);
  open_watched(next);
  talks(next);
  // And of one that stands, where the server has forgotten it.
  again.client_isn += 0x10000;
  again.server_isn += 0x20000;
  Session reborn(p, again);
  open_watched(reborn);
  talks(reborn);
  EXPECT_EQ(p.flows(), 1U);
}

// The client has begun anew on the same ports, and what the server said to it before comes late.
// Whatever the parity of the server's number: cookies of either epoch may have been sent.
TEST_P(Adaptive, ALateSynAckOfAnEarlierConversationTakesNoFlow) {
  set_mode(Mode::kAlways);
  Session(p, session(50'000)).open();
  pass_seconds(64);
  Session(p, session(50'001)).open();
  set_mode(Mode::kAdaptive);
  for (std::uint32_t i = 0; i < 2; ++i) {
    SessionOptions o = session(static_cast<std::uint16_t>(40'000 + i));
    Session earlier(p, o);
    passes_to_server(earlier.syn_frame());
    o.client_isn += 0x10'0000;
    o.server_isn += 0x20'0000 + i;
    Session s(p, o);
    half_open(s);
    passes_to_client(earlier.syn_ack_frame());
    passes_to_server(s.ack_frame());
    talks(s);
    EXPECT_EQ(p.from_server(earlier.syn_ack_frame()), Verdict::kDrop) << "later still";
    talks(s);
    s.close();
  }
  EXPECT_EQ(p.count(Reason::conn_watched), 2U);
  EXPECT_EQ(p.count(Reason::conn_finished), 2U);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 0U);
}

// Its handshake ACK comes late, when the next connection passes on the same ports.
TEST_P(Adaptive, ALateAckOfACookieEndsNoWatchedConnection) {
  set_mode(Mode::kAlways);
  Session first(p, session());
  first.syn();
  set_mode(Mode::kOff);
  SessionOptions o = session();
  o.client_isn += 500'000'000;
  Session s(p, o);
  open_watched(s);
  passes_to_server(first.ack_frame());
  EXPECT_EQ(p.count(Reason::cookie_valid), 0U);
  talks(s);
}

// The old connection had a cookie, so it is translated. A bare ACK of the server overtakes its
// SYN-ACK of the next one: the client would take the old numbers for nobody's.
TEST_P(Adaptive, AnAckThatOvertakesItsSynAckIsNotTranslatedByTheOldFlow) {
  set_mode(Mode::kAlways);
  Session old(p, session());
  old.open();
  old.close();
  set_mode(Mode::kAdaptive);
  SessionOptions o = session();
  o.client_isn += 0x1000'0000;
  o.server_isn += 0x2000'0000;
  Session s(p, o);
  passes_to_server(s.syn_frame());
  s.untranslated();
  passes_to_client(s.server(kAck).build());
  passes_to_client(s.syn_ack_frame());
  passes_to_server(s.ack_frame());
  talks(s);
}

TEST_P(Adaptive, LimitsApplyToWatchedConnections) {
  EngineTuning t = in_mode(Mode::kAdaptive).engine.tuning;
  t.limits.conns.limits[0].connections = 1;
  t.limits.conns.count = 1;
  p.retune(t);
  Session first(p, session(50'000));
  open_watched(first);
  Session second(p, session(50'001));
  half_open(second);
  EXPECT_EQ(p.from_client(second.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::limit_conns), 1U);
  first.close();
  passes_to_server(second.ack_frame());
  // Above the limit, with a RST to both.
  t.limits.action = LimitAction::kReset;
  p.retune(t);
  Session third(p, session(50'002));
  half_open(third);
  EXPECT_EQ(p.from_client(third.ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_client().flags, kRst);
  EXPECT_TRUE(p.take_server().has(kRst));
}

TEST_P(Adaptive, AChangeOfTheModeLosesNoConnection) {
  Session watched(p, session(50'000));
  Session opening(p, session(50'001));
  Session asked(p, session(50'002));
  open_watched(watched);
  half_open(opening);
  passes_to_server(asked.syn_frame());
  set_mode(Mode::kAlways);
  passes_to_client(asked.syn_ack_frame());
  asked.untranslated();
  passes_to_server(asked.ack_frame());
  passes_to_server(opening.ack_frame());
  Session spliced(p, session(50'003));
  spliced.open();
  Session proven(p, session(50'004));
  proven.syn();
  set_mode(Mode::kOff);
  proven.ack();
  proven.syn_ack();
  Session off(p, session(50'005));
  open_watched(off);
  set_mode(Mode::kAdaptive);
  set_mode(Mode::kAlways);
  for (Session* s : {&watched, &opening, &asked, &spliced, &proven, &off}) talks(*s);
  // Later a SYN-ACK that nobody has asked for is what it was.
  p.advance(70'000);
  p.to_client.clear();
  p.to_server.clear();
  Session nobody(p, session(50'006));
  EXPECT_EQ(p.from_server(nobody.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.count(Reason::synack_stale), 1U);
  p.to_server.clear();
}

TEST_P(Adaptive, OffForwardsWhatBelongsToNothing) {
  set_mode(Mode::kOff);
  const Session s(p, session());
  passes_to_server(s.client().payload("data").build());
  passes_to_client(s.server().payload("data").build());
  passes_to_server(s.client(kRst).build());
  passes_to_server(s.client(kSyn | kAck).build());
  EXPECT_EQ(p.count(Reason::unknown_forwarded), 4U);
  // A flood begins no cookies.
  EXPECT_EQ(flood(500), 500U);
  EXPECT_EQ(p.count(Reason::cookies_began), 0U);
}

TEST_P(Adaptive, OffForwardsThoughTheTableIsFull) {
  HarnessOptions h = in_mode(Mode::kOff);
  h.engine.shape.max_flows = 16;
  ProxyHarness q(h);
  for (std::uint16_t i = 0; i < 20; ++i) {
    Session s(q, session(static_cast<std::uint16_t>(50'000 + i)));
    EXPECT_EQ(q.from_client(s.syn_frame()), Verdict::kForward);
    EXPECT_EQ(q.from_server(s.syn_ack_frame()), Verdict::kForward);
    s.untranslated();
    EXPECT_EQ(q.from_client(s.ack_frame()), Verdict::kForward);
    EXPECT_EQ(q.from_client(s.client(kAck | kPsh).payload("x").build()), Verdict::kForward);
    EXPECT_EQ(q.from_server(s.server().ack(s.client_nxt + 1).build()), Verdict::kForward);
  }
  EXPECT_EQ(q.flows(), 16U);
  q.to_client.clear();
  q.to_server.clear();
}

TEST_P(Adaptive, AHalfOpenConnectionIsForgottenWithTheServersPatience) {
  Session s(p, session());
  half_open(s);
  pass_seconds(31);
  passes_to_client(s.syn_ack_frame());  // the last repeat
  pass_seconds(31);
  EXPECT_EQ(p.flows(), 1U);
  pass_seconds(4);
  EXPECT_EQ(p.flows(), 0U);
  EXPECT_EQ(p.counters().half_open.get(), 0U);
}

// The server's own connections are as they were.
TEST_P(Adaptive, AnIcmpErrorAboutASynPasses) {
  const Session s(p, session());
  passes_to_server(s.syn_frame());
  PacketBuilder quoted = s.from_client();
  quoted.seq(s.o.client_isn).flags(kSyn);
  PacketBuilder error = s.from_server();
  error.icmp_error(GetParam() ? 1 : 3, GetParam() ? 4 : 3, 0, quoted.build_packet(48));
  passes_to_client(error.build());
  set_mode(Mode::kAlways);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, Adaptive, testing::Bool(),
                         [](const auto& i) { return i.param ? "ipv6" : "ipv4"; });

}  // namespace
}  // namespace synproxy::test
