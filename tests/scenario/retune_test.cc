// SPDX-License-Identifier: BSD-3-Clause
// Settings that change while connections are under way. New ones apply at once, and what was
// promised before is kept.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::uint64_t kEpochMs = 64'000;

SessionOptions numbered(std::uint16_t n, bool timestamps = true) {
  SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(20'000 + n);
  o.client_isn = 1'000U * n;
  o.timestamps = timestamps;
  return o;
}

EngineTuning scale(std::uint8_t value) {
  EngineTuning t = small_engine().tuning;
  t.offer.window_scale = value;
  return t;
}

HarnessOptions with(const EngineTuning& tuning) {
  HarnessOptions h;
  h.engine.tuning = tuning;
  return h;
}

std::uint16_t window_at_client(Session& c, std::uint16_t window) {
  EXPECT_EQ(c.proxy.from_server(c.server(kAck).window(window).build()), Verdict::kForward);
  return c.proxy.take_client().window;
}

TEST(Retune, TheVeryNextSynIsAnsweredByIt) {
  ProxyHarness p(with(scale(7)));
  for (std::uint16_t n = 0; n < 1000; ++n) {
    const auto value = static_cast<std::uint8_t>(n % 15);
    EngineTuning t = scale(value);
    t.offer.mss = static_cast<std::uint16_t>(500 + n);
    t.early_window = 2000U + n;
    p.retune(t);
    const DecodedFrame offered = Session(p, numbered(n)).syn();
    ASSERT_EQ(offered.window_scale, value);
    ASSERT_EQ(offered.mss, 500 + n);
    ASSERT_EQ(offered.window, 2000 + n);
  }
}

// For each change of --wscale, with auto on either side: the cookie of the old offer verifies, and
// the connection is translated by the scale that its client was told.
TEST(Retune, ACookieOfTheOldWindowScaleStaysGood) {
  for (const auto& [from, to] :
       {std::pair<std::uint8_t, std::uint8_t>{7, 9}, {9, 3}, {3, kAutoScale}, {kAutoScale, 2}}) {
    for (const bool timestamps : {true, false}) {
      ProxyHarness p(with(scale(from)));
      // The proxy has learned from the second connection, so `auto` knows the few scales that
      // count.
      for (std::uint16_t n = 0; n < 2; ++n) {
        p.retune(scale(from));
        Session c(p, numbered(n, timestamps));
        const std::uint8_t promised = c.syn().window_scale.value_or(99);
        p.retune(scale(to));
        c.ack();
        c.syn_ack();
        const auto expected = static_cast<std::uint16_t>(promised > 7 ? 0x400 >> (promised - 7)
                                                                      : 0x400 << (7 - promised));
        EXPECT_EQ(window_at_client(c, 0x400), expected) << int{from} << " " << int{to};
        EXPECT_EQ(p.count(Reason::cookie_invalid), 0U);
      }
    }
  }
}

TEST(Retune, ACookieOfTheOldWindowScaleExpiresAsAnyOther) {
  ProxyHarness p(with(scale(7)));
  Session c(p);
  c.syn();
  p.retune(scale(9));
  p.advance(kEpochMs + kEpochMs / 2 - 1);
  c.ack();
  Session late(p, numbered(1));
  p.retune(scale(7));
  late.syn();
  p.retune(scale(9));
  p.advance(2 * kEpochMs);
  EXPECT_EQ(p.from_client(late.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
}

TEST(Retune, ManyChangesWithinAnEpochForgetNothing) {
  ProxyHarness p(with(scale(0)));
  std::vector<Session> sessions;
  for (std::uint16_t n = 0; n < 15; ++n) {
    p.retune(scale(static_cast<std::uint8_t>(n)));
    sessions.emplace_back(p, numbered(n));
    sessions.back().syn();
    p.advance(4'000);
  }
  for (Session& c : sessions) c.ack();
  EXPECT_EQ(p.count(Reason::cookie_valid), 15U);
}

TEST(Retune, DataWithinThePromisedWindowIsHeldThoughTheWindowIsClosedNow) {
  ProxyHarness p;
  Session c(p);
  EXPECT_EQ(c.syn().window, 14'600);
  EngineTuning closed = small_engine().tuning;
  closed.early_window = 0;
  p.retune(closed);
  c.ack();
  p.from_client(c.client(kAck | kPsh).payload(std::string(1000, 'x')).build());
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  c.syn_ack();
  EXPECT_EQ(p.take_server().text().size(), 1000U);
}

TEST(Retune, AClientThatWasShownNoWindowIsToldThatItIsOpen) {
  HarnessOptions h;
  h.engine.tuning.early_window = 0;
  ProxyHarness p(h);
  Session c(p);
  EXPECT_EQ(c.syn().window, 0);
  p.retune(small_engine().tuning);
  c.ack();
  c.syn_ack();
  EXPECT_NE(p.take_client().window, 0);
  EXPECT_EQ(p.count(Reason::window_update), 1U);
}

TEST(Retune, AShorterIdleTimeoutAsksBeforeItEnds) {
  ProxyHarness p;
  Session living(p, numbered(0));
  Session dead(p, numbered(1));
  living.open();
  dead.open();
  p.advance(50'000);
  EngineTuning t = small_engine().tuning;
  t.idle_timeout_ms = 8'000;  // a quarter of it is the time for an answer
  p.retune(t);
  p.advance(1'100);
  EXPECT_EQ(p.count(Reason::conn_idle), 0U) << "probed, not ended";
  EXPECT_GE(p.count(Reason::keepalive_probe), 4U);
  p.to_client.clear();
  p.to_server.clear();
  living.client_sends("");
  p.advance(4'000);
  EXPECT_EQ(p.count(Reason::conn_idle), 1U);
  p.to_client.clear();
  p.to_server.clear();
  living.client_sends("still here");
}

TEST(Retune, AProbeJustSentHasItsTimeUnderAShorterIdleTimeout) {
  HarnessOptions h;
  h.engine.tuning.idle_timeout_ms = 400'000;  // probed at 325 s
  ProxyHarness p(h);
  Session c(p);
  c.open();
  while (p.count(Reason::keepalive_probe) == 0) p.leap(250);
  EngineTuning t = h.engine.tuning;
  t.idle_timeout_ms = 8'000;
  p.retune(t);
  p.advance(1'900);
  EXPECT_EQ(p.count(Reason::conn_idle), 0U);
  p.advance(1'200);
  EXPECT_EQ(p.count(Reason::conn_idle), 1U);
}

TEST(Retune, ALongerIdleTimeoutHoldsForConnectionsThatStand) {
  HarnessOptions h;
  h.engine.tuning.idle_timeout_ms = 8'000;
  ProxyHarness p(h);
  Session c(p);
  c.open();
  p.advance(5'000);
  p.to_server.clear();  // drops the repeated handshake ACK: nobody has spoken yet
  p.retune(small_engine().tuning);
  p.advance(60'000);
  p.expect_quiet();
  c.client_sends("hello");
}

TEST(Retune, TimeoutsOfHandshakesAndEndsHoldFromTheNextPass) {
  ProxyHarness p;
  Session asked(p, numbered(0));
  asked.syn();
  asked.ack();
  Session closed(p, numbered(1));
  closed.open();
  closed.close();
  p.advance(5'000);
  EXPECT_EQ(p.flows(), 2U);
  EngineTuning t = small_engine().tuning;
  t.server_timeout_ms = 1'000;
  t.close_timeout_ms = 1'000;
  p.retune(t);
  p.advance(1'100);
  EXPECT_EQ(p.count(Reason::conn_timed_out), 1U);
  p.advance(2'200);
  EXPECT_EQ(p.flows(), 0U);
  EXPECT_EQ(p.from_client(closed.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_replayed), 1U) << "a record that goes early is remembered";
}

TEST(Retune, RepeatsStopAndBeginAtOnce) {
  HarnessOptions h;
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness p(h);
  Session c(p, numbered(0));
  c.syn();
  p.retune(small_engine().tuning);
  p.advance(10'000);
  p.expect_quiet();
  p.retune(h.engine.tuning);
  p.advance(10'000);
  p.expect_quiet();
  Session next(p, numbered(1));
  next.syn();
  p.advance(1'000);
  EXPECT_EQ(p.take_client().flags & (kSyn | kAck), kSyn | kAck);
}

// If our SYN did not ask for an option, the server's answer says nothing about it.
TEST(Retune, NothingIsLearnedFromAnAnswerToAnOlderOffer) {
  EngineTuning without = small_engine().tuning;
  without.offer = {.sack = Offer::kOff, .timestamps = Offer::kAuto, .ecn = Offer::kOff};
  ProxyHarness p(with(without));
  Session c(p, {.timestamps = false, .sack = false});
  c.syn();
  EXPECT_FALSE(c.ack().sack_permitted);
  EngineTuning all = without;
  all.offer.sack = Offer::kAuto;
  p.retune(all);
  p.advance(1);
  c.syn_ack();
  Session next(p, numbered(1, false));
  EXPECT_TRUE(next.syn().sack_permitted) << "it was never asked";
}

TEST(Retune, PolicyHoldsForTheVeryNextPacket) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  const Bytes fragment = PacketBuilder()
                             .ipv4("198.51.100.7", "203.0.113.10")
                             .ports(1, 80)
                             .flags(kAck)
                             .fragment(0x2000)
                             .payload("first")
                             .build();
  EngineTuning t = small_engine().tuning;
  for (int n = 0; n < 10; ++n) {
    t.fragments = n % 2 != 0 ? Fragments::kForward : Fragments::kDrop;
    p.retune(t);
    EXPECT_EQ(p.from_client(fragment), n % 2 != 0 ? Verdict::kForward : Verdict::kDrop);
  }
  p.to_server.clear();
}

TEST(Retune, HideRttOfAHandshakeUnderWayMayChange) {
  for (const HideRtt before : {HideRtt::kOff, HideRtt::kOn, HideRtt::kAuto}) {
    HarnessOptions h;
    h.engine.tuning.hide_rtt = before;
    ProxyHarness p(h);
    Session c(p);
    c.syn();
    c.ack();
    p.to_server.clear();
    EngineTuning t = h.engine.tuning;
    t.hide_rtt = before == HideRtt::kOn ? HideRtt::kAuto : HideRtt::kOn;
    p.retune(t);
    c.syn_ack();
    c.client_sends("GET /");
    c.server_sends("200");
    c.close();
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  }
}

}  // namespace
}  // namespace synproxy
