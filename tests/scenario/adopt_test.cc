// SPDX-License-Identifier: BSD-3-Clause
// --adopt: connections that were there before the proxy go on.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/session.h"
#include "synproxy/proxy/adoption.h"

namespace synproxy::test {
namespace {

constexpr std::uint32_t kAdoptMs = 30'000;
constexpr std::uint32_t kTranslation = 0x5000'0000;  // of an earlier proxy

HarnessOptions adopting(Unknown unknown = Unknown::kReset) {
  HarnessOptions h;
  h.engine.shape.adopt_ms = kAdoptMs;
  h.engine.tuning.unknown = unknown;
  return h;
}

struct Kind {
  bool ipv6;
  bool timestamps;
  std::vector<VlanTag> tags;
};

class Adopt : public testing::TestWithParam<Kind> {
 protected:
  static SessionOptions session(std::uint16_t port = 40'000) {
    SessionOptions o;
    o.ipv6 = GetParam().ipv6;
    o.timestamps = GetParam().timestamps;
    o.tags = GetParam().tags;
    o.client_port = port;
    return o;
  }
  // Both ends have the same numbers, unless `delta` was added to the server's.
  Session older(std::uint16_t port = 40'000, std::uint32_t delta = 0) {
    Session s(p, session(port));
    s.untranslated();
    s.cookie -= delta;
    s.client_nxt += 5'000;
    s.server_nxt += 70'000;
    return s;
  }
  // The other end gets it byte for byte.
  void passes(Role from, const Bytes& frame) {
    EXPECT_EQ(p.feed(from, frame), Verdict::kForward);
    EXPECT_EQ(p.take_raw(other(from)), frame);
  }
  void client_says(Session& s, const std::string& text, std::uint16_t flags = kAck | kPsh) {
    passes(Role::kClient, s.client(flags).payload(text).build());
    s.client_nxt += static_cast<std::uint32_t>(text.size()) + ((flags & kFin) != 0 ? 1 : 0);
  }
  void server_says(Session& s, const std::string& text, std::uint16_t flags = kAck | kPsh) {
    passes(Role::kServer, s.server(flags).payload(text).build());
    s.server_nxt += static_cast<std::uint32_t>(text.size()) + ((flags & kFin) != 0 ? 1 : 0);
  }
  void talks(Session& s) {
    for (int i = 0; i < 3; ++i) {
      client_says(s, "request");
      server_says(s, "response");
    }
    p.expect_quiet();
  }
  void is_adopted(const Session& s) {
    const auto f = p.record(s.client().build());
    ASSERT_TRUE(f);
    EXPECT_TRUE(f->watched());
    EXPECT_EQ(f->state(), FlowState::kEstablished);
    EXPECT_EQ(f->client_nxt, s.client_nxt);
    EXPECT_EQ(f->server_nxt, s.server_nxt);
  }

  ProxyHarness p{adopting()};
};

INSTANTIATE_TEST_SUITE_P(
    Kinds, Adopt,
    testing::Values(Kind{.ipv6 = false, .timestamps = true, .tags = {}},
                    Kind{.ipv6 = true, .timestamps = true, .tags = {}},
                    Kind{.ipv6 = false, .timestamps = false, .tags = {{7, kEtherTypeVlan}}},
                    Kind{.ipv6 = true,
                         .timestamps = true,
                         .tags = {{100, kEtherTypeQinQ}, {7, kEtherTypeVlan}}}));

TEST_P(Adopt, AConnectionWhoseClientSpeaksFirst) {
  Session s = older();
  passes(Role::kClient, s.client().seq(s.client_nxt - 1).build());  // a keepalive
  EXPECT_EQ(p.flows(), 0U) << "a client alone makes no flow";
  passes(Role::kServer, s.server().build());
  EXPECT_EQ(p.count(Reason::conn_adopted), 1U);
  talks(s);
  is_adopted(s);
}

TEST_P(Adopt, AConnectionWhoseServerSpeaksFirst) {
  Session s = older();
  server_says(s, "news");
  server_says(s, "more news");
  EXPECT_EQ(p.flows(), 0U);
  passes(Role::kClient, s.client().build());
  EXPECT_EQ(p.count(Reason::conn_adopted), 1U);
  is_adopted(s);
  talks(s);
}

TEST_P(Adopt, ItOutlivesTheTimeAndEndsLikeAnyOther) {
  Session s = older();
  client_says(s, "request");
  server_says(s, "response");
  p.advance(2 * kAdoptMs);
  p.expect_quiet();
  talks(s);
  client_says(s, "", kAck | kFin);
  server_says(s, "", kAck | kFin);
  client_says(s, "", kAck);
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  p.expect_empty_after(300'000);
}

TEST_P(Adopt, AConnectionThatIsBeingClosed) {
  for (const bool server_first : {false, true}) {
    Session s = older(server_first ? 40'001 : 40'000);
    if (server_first) {
      server_says(s, "bye", kAck | kFin);
      client_says(s, "", kAck);
      client_says(s, "", kAck | kFin);
      server_says(s, "", kAck);
    } else {
      client_says(s, "bye", kAck | kFin);
      server_says(s, "", kAck);
      server_says(s, "", kAck | kFin);
      client_says(s, "", kAck);
    }
  }
  EXPECT_EQ(p.count(Reason::conn_adopted), 2U);
  EXPECT_EQ(p.count(Reason::conn_finished), 2U);
}

TEST_P(Adopt, ItsResetPassesAndEndsIt) {
  Session s = older();
  client_says(s, "request");
  server_says(s, "response");
  passes(Role::kClient, s.client(kRst).build());
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  Session idle = older(40'001);
  passes(Role::kServer, idle.server(kRst | kAck).build());
  Session other_one = older(40'002);
  passes(Role::kClient, other_one.client(kRst | kAck).build());
}

// A silent end is asked before the flow expires, with numbers that both ends know.
TEST_P(Adopt, ItIsProbedWithItsOwnNumbers) {
  Session s = older();
  client_says(s, "request");
  server_says(s, "response");
  passes(Role::kClient, s.client().build());
  p.advance(7'500'000 - 75'000 - 2'000);
  p.expect_quiet();
  p.advance(10'000);
  const DecodedFrame to_server = p.take_server();
  EXPECT_EQ(to_server.seq, s.client_nxt - 1);
  EXPECT_EQ(to_server.ack, s.server_nxt);
  EXPECT_EQ(to_server.tags, s.o.tags);
  EXPECT_EQ(to_server.destination_mac, kServerMac);
  const DecodedFrame to_client = p.take_client();
  EXPECT_EQ(to_client.seq, s.server_nxt - 1);
  EXPECT_EQ(to_client.ack, s.client_nxt);
  EXPECT_EQ(to_client.destination_mac, kClientMac);
  p.to_client.clear();
  p.to_server.clear();
}

// The next three: what an earlier proxy has translated.
TEST_P(Adopt, EndsWithDifferentNumbersAreBothReset) {
  Session s = older(40'000, kTranslation);
  const Bytes request = s.client(kAck | kPsh).payload("request").build();
  EXPECT_EQ(p.from_client(request), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kServer), request);
  EXPECT_EQ(p.from_server(s.server().build()), Verdict::kReply);
  const DecodedFrame to_server = p.take_server();
  EXPECT_EQ(to_server.flags, kRst);
  EXPECT_EQ(to_server.seq, s.client_nxt) << "exact";
  EXPECT_EQ(to_server.destination_mac, kServerMac);
  EXPECT_EQ(to_server.tags, s.o.tags);
  const DecodedFrame to_client = p.take_client();
  EXPECT_EQ(to_client.flags, kRst);
  EXPECT_EQ(to_client.seq, s.seen_by_client(s.server_nxt)) << "exact";
  EXPECT_EQ(to_client.destination_mac, kClientMac);
  EXPECT_EQ(to_client.tags, s.o.tags);
  EXPECT_EQ(p.count(Reason::conn_contradicted), 1U);
  EXPECT_EQ(p.flows(), 0U);
  p.expect_quiet();
}

TEST_P(Adopt, EndsThatDifferInBothNumbersAreAskedAndThenReset) {
  Session s = older(40'000, kTranslation);
  const Bytes strange = s.client().seq(s.client_nxt + 0x3000'0000).build();
  unsigned turns = 0;
  for (; turns < 100 && p.count(Reason::conn_contradicted) == 0; ++turns) {
    p.from_client(strange);
    p.from_server(s.server().build());
    p.advance(100);
  }
  EXPECT_EQ(turns, Adoption::kPatienceMs / 100 + 1);
  EXPECT_EQ(p.count(Reason::unknown_probe), Adoption::kPatienceMs / Adoption::kAskAgainMs);
  std::vector<std::uint16_t> to_client;
  while (!p.to_client.empty()) to_client.push_back(p.take_client().flags);
  EXPECT_EQ(to_client.back(), kRst);
  std::vector<std::uint16_t> to_server;
  while (!p.to_server.empty()) to_server.push_back(p.take_server().flags);
  EXPECT_EQ(to_server.back(), kRst);
}

// Somebody knows the addresses of a silent connection, and guesses.
TEST_P(Adopt, ForgedNumbersEndNoConnection) {
  Session s = older();
  for (std::uint32_t i = 1; i <= 300; ++i) {
    p.from_client(s.client().seq(i * 0x0d00'0001).ack(i * 0x0900'0001).build());
    p.to_server.clear();
    EXPECT_EQ(p.from_server(s.server().build()), Verdict::kForward) << "the server's challenge";
    // The client has got it already, and answers nothing. It answers what the proxy asks.
    bool asked = false;
    while (!p.to_client.empty()) asked |= p.take_client().seq == s.server_nxt - 1;
    if (asked) passes(Role::kClient, s.client().build());
    p.advance(10);
  }
  EXPECT_EQ(p.count(Reason::conn_adopted), 1U);
  EXPECT_EQ(p.count(Reason::conn_contradicted), 0U);
  EXPECT_EQ(p.count(Reason::rst_to_client) + p.count(Reason::rst_to_server), 0U);
  EXPECT_EQ(p.count(Reason::conn_reset), 0U);
  talks(s);
}

TEST_P(Adopt, BlindResetsOfAnAdoptedConnectionDoNotEndIt) {
  Session s = older();
  client_says(s, "request");
  server_says(s, "response");
  for (std::uint32_t i = 1; i <= 2'000; ++i) {
    p.from_client(s.client().seq(i * 0x0003'1415).ack(i * 0x0002'7182).build());
    p.from_client(s.client(kRst).seq(i * 0x0003'1415).build());
  }
  p.to_client.clear();
  p.to_server.clear();
  EXPECT_EQ(p.count(Reason::conn_reset), 0U);
  talks(s);
}

TEST_P(Adopt, WhenTheTimeIsOverUnknownDecides) {
  p.advance(kAdoptMs + 1);
  Session s = older();
  EXPECT_EQ(p.from_client(s.client(kAck | kPsh).payload("late").build()), Verdict::kDrop);
  EXPECT_EQ(p.take_server().seq, s.client_nxt - 1) << "the server is asked whether it knows it";
  EXPECT_EQ(p.from_server(s.server().build()), Verdict::kReply);
  EXPECT_EQ(p.take_client().flags, kRst);
  EXPECT_EQ(p.take_server().flags, kRst);
  EXPECT_EQ(p.count(Reason::conn_unknown), 1U);
  EXPECT_EQ(p.count(Reason::conn_adopted), 0U);
}

TEST_P(Adopt, ACookieIsACookie) {
  Session s(p, {.ipv6 = GetParam().ipv6, .tags = GetParam().tags});
  s.open();
  s.client_sends("hello");
  s.server_sends("hello");
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
  EXPECT_EQ(p.count(Reason::conn_adopted), 0U);
}

// The server knows nothing of a connection whose handshake ACK is still on its way.
TEST_P(Adopt, DataThatOvertakesItsHandshakeAckKillsNoConnection) {
  Session s(p, {.ipv6 = GetParam().ipv6, .tags = GetParam().tags});
  s.syn();
  for (int i = 0; i < 3; ++i) {
    const Bytes later = s.client().seq(s.client_nxt + 1'000).payload("second").build();
    passes(Role::kClient, later);
    PacketBuilder rst = s.server(kRst);
    EXPECT_EQ(p.from_server(rst.seq(s.cookie + 1).build()), Verdict::kDrop);
    p.advance(100);
  }
  p.expect_quiet();
  s.ack();
  s.syn_ack();
  s.client_sends(std::string(1'000, '1'));
  s.client_sends("second");
  s.server_sends("hello");
}

// The SYN has gone past the proxy, and the SYN-ACK comes here.
TEST_P(Adopt, AHandshakeThatIsUnderWay) {
  Session s = older();
  s.client_nxt = s.o.client_isn + 1;
  s.server_nxt = s.o.server_isn + 1;
  passes(Role::kServer, s.syn_ack_frame());
  passes(Role::kClient, s.ack_frame());
  talks(s);
  is_adopted(s);
  EXPECT_EQ(p.count(Reason::conn_watched), 1U);
}

TEST_P(Adopt, AServerThatIsGoneIsSaid) {
  Session s = older();
  const Bytes request = s.client(kAck | kPsh).payload("request").build();
  const Bytes rst = s.server(kRst).seq(s.server_nxt).build();
  passes(Role::kClient, request);
  EXPECT_EQ(p.from_server(rst), Verdict::kDrop);
  p.advance(Adoption::kPatienceMs);
  passes(Role::kClient, request);
  passes(Role::kServer, rst);
}

// Where no cookie of its number can have been sent, the RST ends nobody's new connection.
TEST_P(Adopt, InPeaceAServerThatIsGoneIsSaidAtOnce) {
  EngineTuning t = adopting().engine.tuning;
  t.mode = Mode::kAdaptive;
  p.retune(t);
  Session s = older();
  passes(Role::kClient, s.client(kAck | kPsh).payload("request").build());
  passes(Role::kServer, s.server(kRst).seq(s.server_nxt).build());
}

// Forged ACKs make no flow and cost no more than they may, and a connection is still found.
TEST(AdoptFlood, OfForgedAcksIsBounded) {
  for (const Unknown unknown : {Unknown::kDrop, Unknown::kReset, Unknown::kForward}) {
    ProxyHarness p(adopting(unknown));
    SessionOptions o;
    Session s(p, o);
    s.untranslated();
    p.from_server(s.server().payload("news").build());
    s.server_nxt += 4;
    std::vector<Bytes> burst;
    for (unsigned round = 0; round < 600; ++round) {
      burst.clear();
      for (unsigned i = 0; i < 32; ++i) {
        burst.push_back(s.client()
                            .ip("192.0.2.1", "203.0.113.10")
                            .ports(static_cast<std::uint16_t>(1'024 + round * 32 + i), 80)
                            .build());
      }
      p.feed_burst(Role::kClient, burst);
    }
    const std::uint64_t most = Adoption::kPassedPerSecond;
    const bool all = unknown == Unknown::kForward;
    EXPECT_EQ(p.count(Reason::adopt_forwarded), most + 1);
    EXPECT_EQ(p.count(Reason::adopt_shed), all ? 0U : 600 * 32 - most);
    EXPECT_EQ(p.to_server.size(), all ? 600 * 32 : most);
    EXPECT_EQ(p.flows(), 0U);
    EXPECT_EQ(p.from_client(s.client(kRst).ports(2'000, 80).build()),
              all ? Verdict::kForward : Verdict::kDrop);
    p.to_client.clear();
    p.to_server.clear();
    EXPECT_EQ(p.from_client(s.client().build()), Verdict::kForward) << "it agrees";
    EXPECT_EQ(p.count(Reason::conn_adopted), 1U);
    p.to_server.clear();
    // A cookie is looked at first.
    Session(p, {.client_port = 41'000}).open();
  }
}

TEST(AdoptFlood, DamagedSegmentsAreNotBelieved) {
  ProxyHarness p(adopting());
  p.checksums_must_be_good = false;
  Session s(p, {});
  s.untranslated();
  EXPECT_EQ(p.from_client(s.client().break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.from_server(s.server().break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 2U);
  EXPECT_EQ(p.flows(), 0U);
}

// Its first SYN went to the server before the proxy came, and its second one got a cookie. The
// server answers the first; it would reset what acknowledges the cookie.
TEST_P(Adopt, AClientThatGotACookieBesideTheServersAnswerKeepsItsConnection) {
  Session s(p, session());
  s.syn();
  passes(Role::kServer, s.server(kSyn | kAck).seq(s.o.server_isn - 77).ack(s.client_nxt).build());
  const Bytes ahead = s.client().seq(s.client_nxt + 100).payload("later").build();
  EXPECT_EQ(p.from_client(ahead), Verdict::kDrop) << "of its own cookie, before the handshake ACK";
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  p.expect_quiet();
  s.ack();
  s.syn_ack();
  s.client_sends("request");
  s.server_sends("response");
  s.close();
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

// Its handshake ACK and its first segment are lost, and it answers the repeated SYN-ACK: by numbers
// that no cookie covers. The server has nothing of it.
TEST_P(Adopt, AClientAheadOfItsLostHandshakeAckIsNotResetByTheServer) {
  HarnessOptions h = adopting();
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness repeating(h);
  Session s(repeating, session());
  s.syn();
  const Bytes ahead = s.client().seq(s.client_nxt + 100).payload("later").build();
  EXPECT_EQ(repeating.from_client(ahead), Verdict::kDrop);
  repeating.advance(1500);
  repeating.to_client.clear();  // the SYN-ACK once more
  EXPECT_EQ(repeating.from_client(s.client().seq(s.client_nxt + 105).build()), Verdict::kDrop);
  EXPECT_EQ(repeating.count(Reason::cookie_invalid), 2U);
  EXPECT_EQ(repeating.count(Reason::adopt_forwarded), 0U);
  repeating.expect_quiet();
  s.ack();
  s.syn_ack();
  s.client_sends("request");
  s.server_sends("response");
  s.close();
  EXPECT_EQ(repeating.count(Reason::conn_finished), 1U);
}

// Another process goes on with it, as with any other connection.
TEST(AdoptRestart, AnAdoptedConnectionOutlivesTheProcess) {
  HarnessOptions h = adopting();
  h.store = true;
  ProxyHarness p(h);
  Session s(p, {});
  s.untranslated();
  p.from_client(s.client().build());
  p.from_server(s.server().build());
  EXPECT_EQ(p.count(Reason::conn_adopted), 1U);
  EXPECT_EQ(p.die().kept, 1U);
  EXPECT_EQ(p.from_client(s.client().build()), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_adopted), 1U) << "it was there";
  p.to_client.clear();
  p.to_server.clear();
}

}  // namespace
}  // namespace synproxy::test
