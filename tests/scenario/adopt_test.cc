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

  // `old` becomes a connection that lives, with numbers `far` away from those of a client that has
  // got its SYN-ACK. It is adopted at the server's last segment.
  static void adopt_behind(Session& old, std::uint32_t far, std::uint16_t flags = kAck | kPsh) {
    const std::uint32_t cookie = old.cookie;
    old.untranslated();
    old.client_nxt += far;
    old.server_nxt = cookie + far;
    EXPECT_EQ(old.proxy.from_client(old.client(flags).payload("bye").build()), Verdict::kForward);
    old.client_nxt += (flags & kFin) != 0 ? 4 : 3;
    EXPECT_EQ(old.proxy.from_server(old.server().build()), Verdict::kForward);
    const auto f = old.proxy.record(old.client().build());
    ASSERT_TRUE(f && f->adopted());
    EXPECT_EQ(f->client_nxt, old.client_nxt);
    old.proxy.to_client.clear();
    old.proxy.to_server.clear();
  }
  // Its cookie is looked at though an adopted connection has its ports.
  static void begins_anew(Session& s) {
    EXPECT_EQ(s.proxy.from_client(s.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(s.proxy.take_server().flags, kRst | kAck)
        << "the server may have more to say on the old one";
    EXPECT_EQ(s.proxy.take_server().seq, s.o.client_isn);
    s.syn_ack();
    s.client_sends("request");
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

// It has closed its old connection and begins anew with the same ports. The server's last ACK of
// the old one comes afterwards, and agrees with what was seen of the client before. The new numbers
// may fit the old ones by chance: nobody knows how wide the old windows are.
TEST_P(Adopt, ACookieCountsThoughTheOldConnectionIsAdoptedBehindIt) {
  for (const std::uint32_t far : {10'000'000U, 500'000'000U}) {
    Session s(p, session(static_cast<std::uint16_t>(40'000 + far / 1'000'000)));
    s.syn();
    Session old = s;
    adopt_behind(old, far, kAck | kPsh | kFin);
    passes(Role::kClient, s.client().seq(s.client_nxt + 77).build());  // no cookie covers it
    begins_anew(s);
    s.server_sends("response");
  }
  EXPECT_EQ(p.count(Reason::conn_adopted), 2U);
  EXPECT_EQ(p.count(Reason::conn_established), 2U);
}

// A client that is far behind a busy server, and whose own SYN had a late copy: what it says fits.
TEST_P(Adopt, ALateCopyOfItsOwnSynStopsNothing) {
  HarnessOptions h = adopting();
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness other(h);
  Session s(other, session());
  s.syn();
  Session old = s;
  old.untranslated();
  old.client_nxt += 100;
  const Bytes request = old.client().payload("get").build();
  EXPECT_EQ(other.from_client(request), Verdict::kForward);
  EXPECT_EQ(other.from_server(old.server().build()), Verdict::kForward);
  EXPECT_EQ(other.count(Reason::conn_adopted), 1U);
  for (const std::uint32_t seen : {5'000U, 10'000'000U, 20'000'000U}) {
    const std::uint32_t ahead = old.server_nxt + 12'000'000;
    EXPECT_EQ(other.from_server(old.server().seq(ahead).payload("x").build()), Verdict::kForward);
    EXPECT_EQ(other.from_client(old.client().ack(old.server_nxt + seen).build()),
              Verdict::kForward);
  }
}

// What is ahead of the new handshake ACK is none of the old connection, and no cookie covers it:
// the server would reset it, and the tries would be gone before the ACK comes. The SYN is
// remembered with its SYN-ACK, or has come on the flow.
TEST_P(Adopt, DataAheadOfTheNewHandshakeAckCostsNothing) {
  HarnessOptions h = adopting();
  h.engine.tuning.synack_repeats = 3;
  for (const bool on_flow : {false, true}) {
    for (const std::uint32_t far : {10'000'000U, 500'000'000U}) {
      if (on_flow && far == 10'000'000) continue;  // it fits, so the server gets it
      ProxyHarness other(on_flow ? adopting() : h);
      Session s(other, session());
      s.syn();
      Session old = s;
      adopt_behind(old, far);
      if (on_flow) {
        EXPECT_EQ(other.from_client(s.syn_frame()), Verdict::kReply);
      }
      other.to_client.clear();
      for (std::uint32_t i = 1; i <= 20; ++i) {
        const Bytes ahead = s.client().seq(s.client_nxt + 10 * i).payload("0123456789").build();
        EXPECT_EQ(other.from_client(ahead), Verdict::kDrop);
      }
      EXPECT_EQ(other.count(Reason::ack_unfit), 20U);
      begins_anew(s);
    }
  }
}

// A copy of the old connection's SYN comes late, and in the same second the client begins anew: a
// flow is marked once a second.
TEST_P(Adopt, ACookieCountsThoughALateSynHasTheMark) {
  Session s(p, session());
  Session old = s;
  old.untranslated();
  old.client_nxt += 500'000'000;
  old.server_nxt += 500'000'000;
  client_says(old, "bye");
  server_says(old, "");
  ASSERT_NO_FATAL_FAILURE(is_adopted(old));
  old.o.client_isn += 400'000'000;
  EXPECT_EQ(p.from_client(old.syn_frame()), Verdict::kReply);
  p.to_client.clear();
  s.syn();
  begins_anew(s);
}

// The same, and data of the new connection comes first, as much as would use up all tries.
TEST_P(Adopt, DataAheadCostsNothingWhereALateSynHasTheMark) {
  HarnessOptions h = adopting();
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness other(h);
  Session s(other, session());
  Session old = s;
  old.cookie = 0x1234'5678;
  adopt_behind(old, 500'000'000);
  old.o.client_isn += 400'000'000;
  EXPECT_EQ(other.from_client(old.syn_frame()), Verdict::kReply);
  other.to_client.clear();
  s.syn();
  for (std::uint32_t i = 1; i <= 20; ++i) {
    const Bytes ahead = s.client().seq(s.client_nxt + 10 * i).payload("0123456789").build();
    EXPECT_EQ(other.from_client(ahead), Verdict::kDrop);
  }
  EXPECT_EQ(other.count(Reason::ack_unfit), 20U);
  begins_anew(s);
}

// Whoever knows its ports guesses no cookie without end, and leaves tries for the mark.
TEST_P(Adopt, AnAdoptedConnectionTakesFewGuesses) {
  Session s(p, session());
  s.syn();
  Session old = s;
  adopt_behind(old, 500'000'000);
  for (std::uint32_t i = 1; i <= 8; ++i) {
    passes(Role::kClient, s.client().ack(s.cookie + 1 + 256 * i).build());
  }
  passes(Role::kClient, s.ack_frame());  // not looked at any more
  EXPECT_EQ(p.count(Reason::cookie_valid), 0U);
  // A SYN that comes on the flow is remembered.
  s.syn();
  for (std::uint32_t i = 1; i <= 9; ++i) {
    passes(Role::kClient,
           s.client().seq(s.o.client_isn + 99'000'000 * i).ack(s.cookie + 1).build());
  }
  begins_anew(s);
}

// Its first SYN had a scale and went to the server, and the cookie of its second one has no room
// for one (adaptive_test.cc).
TEST_P(Adopt, AScaleOfASynThatPassedBeforeTheProxyCameIsResetAndAskedAgain) {
  SessionOptions o = session();
  o.mss = 460;
  o.timestamps = o.sack = false;
  Session s(p, o);
  EXPECT_EQ(s.syn().window_scale, std::nullopt);
  s.ack();
  PacketBuilder answer = s.from_server();
  answer.seq(o.server_isn).ack(o.client_isn + 1).flags(kSyn | kAck).window(9'000).mss(1460);
  EXPECT_EQ(p.from_server(PacketBuilder(answer).window_scale(7).build()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kRst);
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.from_server(answer.build()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
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
