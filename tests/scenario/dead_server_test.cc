// SPDX-License-Identifier: BSD-3-Clause
// Services that refuse or keep silent: what their next clients see, how a service is found alive
// again, and that nobody can make a live one look dead.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/session.h"
#include "synproxy/proxy/doubts.h"

namespace synproxy {
namespace {

using namespace test;

enum class Death : std::uint8_t { kRst, kHardError, kSoftError, kSilence };
constexpr Death kDeaths[] = {Death::kRst, Death::kHardError, Death::kSoftError, Death::kSilence};

Bytes error_about(const Session& c, std::uint8_t type, std::uint8_t code, std::uint32_t seq) {
  PacketBuilder quoted;
  quoted.ip(c.o.client, c.o.server).ports(c.o.client_port, c.o.server_port).seq(seq).flags(kSyn);
  PacketBuilder b;
  b.macs(kServerMac, kClientMac).vlans(c.o.tags);
  b.ip(c.o.ipv6 ? "2001:db8:3::1" : "192.0.2.33", c.o.client);
  return b.icmp_error(type, code, 0, quoted.build_packet(60)).build();
}
Bytes hard_error(const Session& c) {
  return error_about(c, c.o.ipv6 ? 1 : 3, c.o.ipv6 ? 4 : 3, c.o.client_isn);
}
Bytes soft_error(const Session& c) {
  return error_about(c, c.o.ipv6 ? 1 : 3, c.o.ipv6 ? 3 : 1, c.o.client_isn);
}
Bytes refusal(const Session& c) {
  PacketBuilder rst = c.server(kRst | kAck);
  return rst.seq(0).ack(c.o.client_isn + 1).build();
}

// The first client finds it out.
void kill_service(ProxyHarness& p, Session& first, Death death) {
  first.syn();
  first.ack();
  if (death == Death::kRst) p.from_server(refusal(first));
  if (death == Death::kHardError) p.from_server(hard_error(first));
  if (death == Death::kSoftError) p.from_server(soft_error(first));
  if (death == Death::kSilence) p.advance(1'400);
  const bool told = death == Death::kRst || death == Death::kHardError;
  EXPECT_EQ(p.to_client.size(), told ? 1U : 0U);
  EXPECT_EQ(p.count(Reason::service_doubted), 1U);
  p.to_client.clear();
  p.to_server.clear();
}

SessionOptions second_client(const SessionOptions& first) {
  SessionOptions o = first;
  o.client = first.ipv6 ? "2001:db8:1::8" : "198.51.100.8";
  o.client_port = 50001;
  o.client_isn = 77'000'000;
  o.server_isn = 0x20000000;
  return o;
}

// What the next client's SYN meets is the server itself, as it would directly.
TEST(DeadServer, SynsOfAServiceInDoubtGoToTheServerUntouched) {
  for (const Death death : kDeaths) {
    for (const bool ipv6 : {false, true}) {
      for (const bool tagged : {false, true}) {
        ProxyHarness p;
        SessionOptions o;
        o.ipv6 = ipv6;
        if (tagged) o.tags = {{7, kEtherTypeVlan}};
        Session first(p, o);
        kill_service(p, first, death);
        Session next(p, second_client(o));
        EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kForward);
        EXPECT_EQ(p.take_raw(Role::kServer), next.syn_frame());
        EXPECT_EQ(p.count(Reason::asked), 1U);
        p.expect_quiet();
        // Another service of the same server is not concerned, nor is one in another VLAN.
        SessionOptions elsewhere = second_client(o);
        elsewhere.tags = {{8, kEtherTypeVlan}};
        Session(p, elsewhere).open();
      }
    }
  }
}

// A server that took the data would count them, and our SYN, which has none, would not fit.
TEST(DeadServer, SynWithDataGoesToTheServerWithoutThem) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session first(p, {.ipv6 = ipv6});
    kill_service(p, first, Death::kRst);
    Session next(p, second_client(first.o));
    EXPECT_EQ(p.from_client(next.syn_frame("early")), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), next.syn_frame());
    EXPECT_EQ(p.count(Reason::asked), 1U);
    p.expect_quiet();
  }
}

TEST(DeadServer, RefusalOfTheServerReachesTheClientAsItIs) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session first(p, {.ipv6 = ipv6});
    kill_service(p, first, Death::kRst);
    for (std::uint32_t i = 0; i < 5; ++i) {
      SessionOptions o = second_client(first.o);
      o.client_isn += i;
      Session next(p, o);
      p.from_client(next.syn_frame());
      p.to_server.clear();
      const Bytes rst = refusal(next);
      EXPECT_EQ(p.from_server(rst), Verdict::kForward);
      EXPECT_EQ(p.take_raw(Role::kClient), rst)
          << "one round trip to the server, and no connection";
      p.expect_quiet();
      p.advance(20'000);  // each refusal is news
    }
    EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
  }
}

TEST(DeadServer, IcmpErrorReachesTheClientAsItIs) {
  for (const bool ipv6 : {false, true}) {
    for (const bool hard : {false, true}) {
      ProxyHarness p;
      Session first(p, {.ipv6 = ipv6});
      kill_service(p, first, hard ? Death::kHardError : Death::kSoftError);
      Session next(p, second_client(first.o));
      p.from_client(next.syn_frame());
      p.to_server.clear();
      const Bytes error = hard ? hard_error(next) : soft_error(next);
      EXPECT_EQ(p.from_server(error), Verdict::kForward);
      EXPECT_EQ(p.take_raw(Role::kClient), error);
      // About a SYN that nobody sent, or from the client's side, it is not believed.
      const Bytes forged = error_about(next, 3, 3, next.o.client_isn + 1);
      if (!ipv6) {
        EXPECT_EQ(p.from_server(forged), Verdict::kDrop);
      }
    }
  }
}

TEST(DeadServer, SilenceIsSilence) {
  ProxyHarness p;
  Session first(p);
  kill_service(p, first, Death::kSilence);
  Session next(p, second_client(first.o));
  for (const std::uint64_t pause : {0U, 1'000U, 2'000U, 4'000U}) {
    p.advance(pause);
    EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kForward);
    EXPECT_TRUE(p.to_client.empty()) << "no SYN-ACK: the client's own timeout decides";
  }
}

TEST(DeadServer, FirstSynAfterItsReturnFindsTheServerAliveAndIsServed) {
  for (const Death death : kDeaths) {
    for (const bool ipv6 : {false, true}) {
      for (const bool timestamps : {true, false}) {
        ProxyHarness p;
        SessionOptions o;
        o.ipv6 = ipv6;
        o.timestamps = timestamps;
        Session first(p, o);
        kill_service(p, first, death);
        Session next(p, second_client(o));
        const Bytes direct = next.syn_ack_frame();
        EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kForward);
        p.to_server.clear();
        EXPECT_EQ(p.from_server(direct), Verdict::kDrop);
        const DecodedFrame syn_ack = p.take_client();
        EXPECT_EQ(syn_ack.flags, kSyn | kAck);
        EXPECT_EQ(syn_ack.ack, next.o.client_isn + 1);
        next.cookie = syn_ack.seq;
        if (timestamps) next.our_tsval = syn_ack.tsval();
        EXPECT_EQ(p.count(Reason::service_back), 1U);
        p.expect_quiet();
        next.ack();      // the server takes our SYN for a repeat ...
        next.syn_ack();  // ... and answers it alike
        next.client_sends("GET");
        next.server_sends("200");
        // From now on SYNs are answered by the proxy.
        SessionOptions other = second_client(o);
        other.client_port = 50002;
        Session(p, other).open();
      }
    }
  }
}

// The kept SYN-ACK was made for an answer with fewer options than the server now gives.
TEST(DeadServer, ServerThatGrantsMoreThanWasPromisedIsResetAndAskedAgain) {
  HarnessOptions h;
  h.engine.tuning.offer = {};  // nothing is known of the server: no timestamps are promised
  ProxyHarness p(h);
  SessionOptions o;
  o.timestamps = false;
  Session first(p, o);
  first.syn();
  first.ack();
  p.from_server(refusal(first));
  p.to_client.clear();
  p.to_server.clear();
  Session next(p, second_client({}));
  EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kForward);
  p.to_server.clear();
  EXPECT_EQ(p.from_server(next.syn_ack_frame()), Verdict::kReply);
  const DecodedFrame rst = p.take_server();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, next.o.client_isn + 1);
  EXPECT_TRUE(p.take_client().timestamps.empty());
}

TEST(DeadServer, HalfOpenConnectionThatNobodyWantsIsReset) {
  ProxyHarness p;
  Session first(p);
  kill_service(p, first, Death::kRst);
  Session forged(p, second_client(first.o));
  p.from_client(forged.syn_frame());
  p.to_server.clear();
  EXPECT_EQ(p.from_server(forged.syn_ack_frame()), Verdict::kDrop);
  p.advance(1'000);
  EXPECT_EQ(p.from_server(forged.syn_ack_frame()), Verdict::kDrop) << "may be a copy";
  p.advance(2'000);
  EXPECT_EQ(p.from_server(forged.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kRst);
}

// Found by the simulator: the RST would be exact for the connection that the client is opening.
TEST(DeadServer, AckOfAHalfOpenServerIsNotAnswered) {
  for (const bool tombstone : {true, false}) {
    HarnessOptions h;
    h.engine.tuning.unknown = Unknown::kReset;
    ProxyHarness p(h);
    Session first(p);
    kill_service(p, first, Death::kRst);
    SessionOptions o = tombstone ? first.o : second_client(first.o);
    o.client_isn = 88'000'000;
    Session next(p, o);
    next.syn();
    EXPECT_EQ(p.from_server(next.server(kAck).build()), Verdict::kDrop);
    p.expect_quiet();
    next.ack();
    next.syn_ack();
    next.client_sends("served");
  }
}

// A waiting client asks every second, so its splice ends the doubt as well.
TEST(DeadServer, AnswerToAWaitingClientEndsTheDoubt) {
  ProxyHarness p;
  Session first(p);
  kill_service(p, first, Death::kSilence);
  first.syn_ack();
  EXPECT_EQ(p.count(Reason::service_back), 1U);
  Session(p, second_client(first.o)).open();
}

TEST(DeadServer, IsForgottenAfterHalfAMinuteWithoutNews) {
  ProxyHarness p;
  Session first(p);
  kill_service(p, first, Death::kRst);
  p.advance(Doubts::kMemoryMs);
  Session(p, second_client(first.o)).open();
}

// --- An attacker cannot make a live service look dead.

// The server's filter refuses or ignores the attacker alone.
TEST(DeadServer, ServiceThatRefusesOneClientServesTheOthers) {
  for (const Death death : kDeaths) {
    ProxyHarness p;
    for (std::uint32_t i = 0; i < 20; ++i) {
      SessionOptions o;
      o.client_isn = 1'000'000 * (i + 1);
      o.client_port = static_cast<std::uint16_t>(40'000 + i);
      Session attacker(p, o);
      attacker.syn();
      attacker.ack();
      if (death == Death::kRst) p.from_server(refusal(attacker));
      if (death == Death::kHardError) p.from_server(hard_error(attacker));
      if (death == Death::kSoftError) p.from_server(soft_error(attacker));
      if (death == Death::kSilence) p.advance(1'400);
      p.to_client.clear();
      p.to_server.clear();
      SessionOptions victim = second_client(o);
      victim.client_port = static_cast<std::uint16_t>(50'000 + i);
      Session v(p, victim);
      v.syn();  // the server is asked first, and answers
      p.to_server.clear();
      v.ack();
      v.syn_ack();
      v.client_sends("served");
      p.to_client.clear();
      p.to_server.clear();
    }
  }
}

TEST(DeadServer, FloodUsesUpNoClientsChance) {
  ProxyHarness p;
  Session first(p);
  kill_service(p, first, Death::kSilence);
  std::uint32_t asked = 0;
  std::uint32_t answered = 0;
  for (std::uint32_t i = 0; i < 3'000; ++i) {
    PacketBuilder b;
    b.ip("192.0.2.9", "203.0.113.10").ports(static_cast<std::uint16_t>(1024 + i), 80).seq(i);
    const Verdict v = p.from_client(b.flags(kSyn).mss(1460).build());
    asked += v == Verdict::kForward ? 1 : 0;
    answered += v == Verdict::kReply ? 1 : 0;
  }
  EXPECT_EQ(asked, Doubts::kAsksPerSecond) << "no more forged SYNs reach the server";
  EXPECT_EQ(answered, 3'000 - asked) << "as without doubt: who is real gets through";
}

TEST(DeadServer, ForgedRefusalsBringNothingInDoubt) {
  ProxyHarness p;
  Session first(p);
  first.syn();
  first.ack();
  PacketBuilder blind = first.server(kRst | kAck);
  p.from_server(blind.seq(0).ack(first.o.client_isn + 2).build());
  p.from_server(error_about(first, 3, 3, first.o.client_isn + 1));
  // From the client's side: an error that claims to come from the server's net.
  PacketBuilder quoted;
  quoted.ip(first.o.client, first.o.server).ports(first.o.client_port, 80);
  PacketBuilder from_outside;
  from_outside.ip("192.0.2.33", first.o.client);
  from_outside.icmp_error(3, 3, 0, quoted.seq(first.o.client_isn).flags(kSyn).build_packet(60));
  p.from_client(from_outside.build());
  p.to_client.clear();
  p.to_server.clear();
  EXPECT_EQ(p.count(Reason::service_doubted), 0U);
  Session(p, second_client(first.o)).open();
}

}  // namespace
}  // namespace synproxy
