// SPDX-License-Identifier: BSD-3-Clause
// Devices that take the timestamps out of a SYN-ACK, or out of all segments after the SYN: the ACK
// has none, and its cookie was given with timestamps.
#include <gtest/gtest.h>

#include "ack/stripped_tries.h"
#include "support/session.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::DecodedFrame;
using test::PacketBuilder;
using test::ProxyHarness;
using test::Session;
using test::SessionOptions;

// From here on nothing of this client has timestamps.
void strip(Session& c) { c.o.timestamps = false; }

PacketBuilder forged(std::uint32_t n, bool ipv6 = false) {
  PacketBuilder b;
  if (ipv6) b.ipv6("2001:db8:1::7", "2001:db8::10");
  return b.ports(static_cast<std::uint16_t>(1024 + n), 80).seq(n * 7919).ack(n * 104729);
}

TEST(Stripped, ClientIsServedWithWhatTheIsnCarries) {
  for (const bool ipv6 : {false, true}) {
    for (const bool tagged : {false, true}) {
      for (const bool scales : {false, true}) {
        SessionOptions o{.ipv6 = ipv6, .sack = scales, .mss = 1440};
        if (tagged) o.tags = {{7}};
        if (!scales) o.client_scale.reset();
        ProxyHarness p;
        Session c(p, o);
        c.syn();
        strip(c);
        const DecodedFrame syn = c.ack();
        EXPECT_TRUE(syn.timestamps.empty());
        EXPECT_EQ(syn.mss, 1440);
        EXPECT_EQ(syn.sack_permitted, scales);
        EXPECT_EQ(syn.window_scale.has_value(), scales);
        c.syn_ack();
        EXPECT_EQ(p.count(Reason::timestamps_stripped), 1U);
        EXPECT_TRUE(c.client_sends("GET").timestamps.empty());
        EXPECT_TRUE(c.server_sends("page").timestamps.empty());
        c.close();
        EXPECT_EQ(p.count(Reason::conn_finished), 1U);
        EXPECT_EQ(p.count(Reason::cookie_invalid), 0U);
      }
    }
  }
}

TEST(Stripped, MssIsTheClassBelowTheOffer) {
  struct Row {
    std::uint16_t offered;
    std::uint16_t kept;
  };
  for (const Row row : {Row{1452, 1440}, Row{1380, 1220}, Row{8960, 1460}, Row{600, 536}}) {
    ProxyHarness p;
    Session c(p, {.mss = row.offered});
    c.syn();
    strip(c);
    EXPECT_EQ(c.ack().mss, row.kept);
  }
}

TEST(Stripped, FirstAckMayCarryDataOrBeAProbe) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.syn();
    strip(c);
    p.from_client(c.client(kAck | kPsh).ack(c.cookie + 1).payload("GET").build());
    EXPECT_EQ(p.take_server().flags, kSyn);
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().flags, kAck);
    EXPECT_EQ(p.take_server().text(), "GET");

    Session probing(p, {.ipv6 = ipv6, .client_port = 41'000});
    probing.syn();
    strip(probing);
    p.from_client(probing.client().seq(probing.o.client_isn).ack(probing.cookie + 1).build());
    EXPECT_EQ(p.take_server().seq, probing.o.client_isn);
    EXPECT_EQ(p.count(Reason::timestamps_stripped), 2U);
  }
}

// What the client believes about ECN is not known, and the server was not asked for it.
TEST(Stripped, MarksOfEcnDoNotReachAServerThatWasNotAsked) {
  ProxyHarness p;
  Session c(p, {.ecn = true});
  c.syn();
  strip(c);
  c.o.ecn = false;
  EXPECT_EQ(c.ack().flags, kSyn);
  c.syn_ack();
  EXPECT_EQ(p.from_client(c.client(kAck | kPsh).traffic_class(2).payload("GET").build()),
            Verdict::kForward);
  EXPECT_EQ(p.take_server().traffic_class & 3U, 0U);
}

TEST(Stripped, SameAckIsNoSecondConnectionWithTimestampsOrWithout) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  const Bytes whole = c.ack_frame();
  strip(c);
  const Bytes stripped = c.ack_frame();
  c.ack();
  c.syn_ack();
  c.close();
  Session next(p, {.client_isn = 77'000'000, .server_isn = 0x12345678});
  next.open();
  next.close();
  EXPECT_EQ(p.from_client(whole), Verdict::kDrop);
  EXPECT_EQ(p.from_client(stripped), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_replayed), 2U);
  p.expect_quiet();
}

TEST(Stripped, AckOfALaterSynReplacesALiveFlow) {
  ProxyHarness p;
  Session old(p);
  old.open();
  Session next(p, {.client_isn = 77'000'000, .server_isn = 0x12345678});
  p.advance(1'500);
  p.to_server.clear();
  next.syn();
  strip(next);
  p.from_client(next.ack_frame());
  EXPECT_TRUE(p.take_server().has(kRst));
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
  EXPECT_EQ(p.count(Reason::timestamps_stripped), 1U);
}

TEST(Stripped, GuessesAreRefusedAndBuyAFewLooksAMillisecond) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .client_port = 900});
    c.syn();
    strip(c);
    for (std::uint32_t n = 0; n < StrippedTries::kPerMs; ++n) {
      EXPECT_EQ(p.from_client(forged(n, ipv6).build()), Verdict::kDrop);
    }
    EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::cookie_invalid), StrippedTries::kPerMs + 1) << "the budget is spent";
    p.expect_quiet();
    p.advance(1);
    c.ack();
    EXPECT_EQ(p.count(Reason::timestamps_stripped), 1U);
  }
}

// In a flood the guesses are refuted in columns.
TEST(Stripped, ClientIsSeenAmongForgedAcksToo) {
  ProxyHarness p;
  Session c(p, {.client_port = 900});
  c.syn();
  strip(c);
  std::vector<Bytes> flood;
  for (std::uint32_t n = 0; n < kMaxBurst; ++n) flood.push_back(forged(n).pad_to(60).build());
  for (int i = 0; i < 3; ++i) p.feed_burst(Role::kClient, flood);
  p.advance(1);
  flood[20] = c.ack_frame();
  flood[20].resize(60);
  p.feed_burst(Role::kClient, flood);
  EXPECT_EQ(p.count(Reason::timestamps_stripped), 1U);
  EXPECT_EQ(p.take_server().flags, kSyn);
}

}  // namespace
}  // namespace synproxy
