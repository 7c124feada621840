// SPDX-License-Identifier: BSD-3-Clause
// Flows behind which nobody lives, and flows that only seem so. The first must leave within
// minutes, and make room at once when the table is full. The second must stay.
#include <gtest/gtest.h>

#include <memory>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions with_flows(std::uint32_t n) {
  HarnessOptions h;
  h.engine.shape.max_flows = n;
  return h;
}

SessionOptions numbered(std::uint32_t n) {
  SessionOptions o;
  o.client = "198.51." + std::to_string(100 + n / 60'000) + ".7";
  o.client_port = static_cast<std::uint16_t>(1024 + n % 60'000);
  o.client_isn = 1 + n * 0x10001;
  return o;
}

void forget_output(ProxyHarness& p) {
  p.to_client.clear();
  p.to_server.clear();
}

enum class Way : std::uint8_t { kNeverSpoke, kBannerOnly, kClientFin, kServerFin, kDataUnanswered };
constexpr Way kWays[] = {Way::kNeverSpoke, Way::kBannerOnly, Way::kClientFin, Way::kServerFin,
                         Way::kDataUnanswered};

// Opens a connection, after whose last segment its client may have gone.
void leave(Session& c, Way way) {
  c.open();
  switch (way) {
    case Way::kNeverSpoke:
      break;
    case Way::kBannerOnly:
      c.server_sends("220 ready");
      c.client_sends("", kAck);
      break;
    case Way::kClientFin:
      c.client_sends("GET /", kAck | kPsh | kFin);
      c.server_sends("", kAck);
      break;
    case Way::kServerFin:
      c.client_sends("GET /");
      c.server_sends("200 OK", kAck | kPsh | kFin);
      c.client_sends("", kAck);
      break;
    case Way::kDataUnanswered: {
      c.client_sends("GET /");
      const PacketBuilder data = c.server().payload("200 OK, and more than the client took");
      for (int repeat = 0; repeat < 3; ++repeat) c.proxy.from_server(data.build());
      c.server_nxt += 37;
      break;
    }
  }
  c.proxy.advance(1000);
  forget_output(c.proxy);  // our ACK may have been repeated
}

// The server's number that the client has acknowledged.
std::uint32_t acked(const Session& c, Way way) {
  return way == Way::kDataUnanswered ? c.server_nxt - 37 : c.server_nxt;
}

struct Variant {
  bool ipv6;
  bool timestamps;
  std::vector<VlanTag> tags;
};
const Variant kVariants[] = {
    {false, true, {}}, {true, false, {}}, {false, false, {{42, 0x8100}}}, {true, true, {}}};

SessionOptions of(const Variant& v) {
  return {.ipv6 = v.ipv6, .tags = v.tags, .timestamps = v.timestamps};
}

TEST(Silence, WhoeverDoesNotAnswerTwoKeepalivesLeavesWithinMinutes) {
  for (const Way way : kWays) {
    for (const Variant& v : kVariants) {
      SCOPED_TRACE(static_cast<int>(way));
      ProxyHarness p;
      Session c(p, of(v));
      leave(c, way);
      p.advance(105'000);
      p.expect_quiet();
      p.advance(13'000);
      EXPECT_EQ(p.count(Reason::keepalive_probe), v.timestamps ? 4U : 2U) << "asked within 120 s";
      const DecodedFrame at_server = p.take_server();
      EXPECT_EQ(at_server.flags, kAck);
      EXPECT_EQ(at_server.seq, c.client_nxt - 1);
      EXPECT_EQ(at_server.ack, acked(c, way)) << "nothing that the client has not got";
      EXPECT_EQ(at_server.tags, v.tags);
      EXPECT_EQ(p.take_client().seq, c.seen_by_client(acked(c, way)) - 1);
      forget_output(p);
      p.advance(35'000);
      EXPECT_EQ(p.count(Reason::keepalive_probe), v.timestamps ? 8U : 4U) << "and once more";
      EXPECT_EQ(p.count(Reason::conn_idle), 1U);
      EXPECT_TRUE(decode(p.to_client.back())->has(kRst));
      EXPECT_TRUE(decode(p.to_server.back())->has(kRst));
      forget_output(p);
      p.expect_empty_after(62'000);
    }
  }
}

TEST(Silence, WhatTheServerHasForgottenLeavesWithItsReset) {
  for (const Way way : kWays) {
    for (const Variant& v : kVariants) {
      ProxyHarness p;
      Session c(p, of(v));
      leave(c, way);
      p.advance(120'000);
      const DecodedFrame probe = p.take_server();
      forget_output(p);
      // The server answers a segment of a connection that it does not know.
      const Bytes reset = c.server(kRst).seq(probe.ack).ack(0).flags(kRst).build();
      EXPECT_EQ(p.from_server(reset), Verdict::kForward);
      EXPECT_EQ(p.take_client().seq, c.seen_by_client(acked(c, way)));
      EXPECT_EQ(p.count(Reason::conn_reset), 1U);
      EXPECT_EQ(p.counters().flows_established.get(), 0U);
      // A client that goes on answering cannot keep it.
      for (int second = 0; second < 58; second += 2) {
        p.from_client(c.client().build());
        p.advance(2000);
      }
      EXPECT_EQ(p.counters().flows_established.get(), 0U);
      forget_output(p);
      p.expect_empty_after(70'000);
    }
  }
}

// RFC 5382 REQ-5. One answer of one end, to either of the two probes, is enough.
TEST(Silence, AnEndThatAnswersKeepsItsConnection) {
  for (const Way way : kWays) {
    for (const bool client_answers : {true, false}) {
      for (const bool first_is_lost : {true, false}) {
        ProxyHarness p;
        Session c(p);
        leave(c, way);
        unsigned rounds = 0;
        bool lost = false;
        for (int second = 0; second < 3600; second += 10) {
          p.leap(10'000);
          if (p.quiet()) continue;
          forget_output(p);
          lost = !lost;
          if (lost && first_is_lost) continue;
          ++rounds;
          client_answers ? c.client_sends("", kAck) : c.server_sends("", kAck);
        }
        // The way may have ended with the answer: then nothing is doubtful any more.
        EXPECT_GE(rounds, way == Way::kDataUnanswered ? 1U : 20U);
        EXPECT_EQ(p.flows(), 1U);
        EXPECT_EQ(p.count(Reason::conn_idle), 0U);
        c.server_sends("still here");
        EXPECT_EQ(p.counters().flows_established.get(), 1U);
      }
    }
  }
}

// Both ends have spoken, and all was acknowledged: nobody is asked for two hours.
TEST(Silence, AConnectionAtRestIsLeftAlone) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("GET /");
  c.server_sends("200 OK");
  c.client_sends("", kAck);
  p.advance(7'200'000);
  p.expect_quiet();
  // A repeat that is answered changes nothing.
  const Bytes again = c.server().seq(c.server_nxt - 6).payload("200 OK").build();
  p.from_server(again);
  forget_output(p);
  c.client_sends("", kAck);
  p.advance(7'200'000);
  p.expect_quiet();
  c.client_sends("GET /");
}

// 3,000 handshakes, then silence, against a table of 3,000: every page is served.
TEST(Silence, SilentClientsCannotFillTheTable) {
  ProxyHarness p(with_flows(3000));
  std::vector<std::unique_ptr<Session>> speaking;
  for (std::uint32_t n = 0; n < 3000; ++n) {
    auto c = std::make_unique<Session>(p, numbered(n));
    c->open();
    if (n % 300 != 0) continue;
    c->client_sends("GET /");
    c->server_sends("200 OK");
    speaking.push_back(std::move(c));
  }
  EXPECT_EQ(p.flows(), 3000U);
  p.advance(6000);
  forget_output(p);
  for (std::uint32_t n = 0; n < 1500; ++n) {
    // One more silent one, and one that fetches a page.
    Session silent(p, numbered(3000 + 2 * n));
    silent.syn();
    p.from_client(silent.ack_frame());
    p.from_server(silent.syn_ack_frame());
    forget_output(p);
    Session page(p, numbered(3001 + 2 * n));
    page.syn();
    p.from_client(page.ack_frame());
    forget_output(p);
    p.from_server(page.syn_ack_frame());
    forget_output(p);
    page.client_sends("GET /");
    page.server_sends("200 OK");
    page.close();
    p.advance(8);
    forget_output(p);
  }
  EXPECT_EQ(p.count(Reason::table_full), 0U);
  EXPECT_EQ(p.count(Reason::conn_finished), 1500U);
  EXPECT_GT(p.count(Reason::flow_evicted), 1000U);
  for (const auto& c : speaking) c->client_sends("not I");
}

// docs/performance.md: a table of n records refuses nobody up to n / 6 silent handshakes a second.
TEST(Silence, TheStatedRateIsSustained) {
  ProxyHarness p(with_flows(600));
  std::uint32_t n = 0;
  const auto handshake = [&] {
    Session c(p, numbered(n++));
    c.syn();
    p.from_client(c.ack_frame());
    p.from_server(c.syn_ack_frame());
    forget_output(p);
    return c;
  };
  const unsigned centiseconds = kSanitized ? 2000 : 6000;
  for (unsigned centisecond = 0; centisecond < centiseconds; ++centisecond) {
    if (centisecond % 20 != 0) {
      handshake();
    } else {
      Session page = handshake();
      page.client_sends("GET /");
      page.server_sends("200 OK");
      page.close();
    }
    p.advance(10);
    forget_output(p);
    ASSERT_EQ(p.count(Reason::table_full), 0U) << centisecond;
  }
  EXPECT_EQ(p.count(Reason::conn_finished), centiseconds / 20);
}

// docs/cookie.md: nobody is at the forged address.
TEST(Silence, ForgedConnectionEndsSoonAfterTheServerHasGivenUp) {
  ProxyHarness p;
  Session c(p);
  c.open();
  p.advance(60'000);  // nginx has waited for a request
  const Bytes fin = c.server(kAck | kFin).build();
  p.from_server(fin);
  ++c.server_nxt;
  for (std::uint64_t wait = 200; wait <= 51'200; wait *= 2) {
    p.advance(wait);
    p.from_server(fin);
  }
  forget_output(p);
  while (p.to_server.empty() && p.now() < 300'000) p.advance(100);
  const std::uint32_t asked = p.take_server().ack;
  forget_output(p);
  p.from_server(c.server(kRst).seq(asked).ack(0).flags(kRst).build());
  forget_output(p);
  while (p.flows() != 0 && p.now() < 400'000) p.advance(100);
  EXPECT_LT(p.now(), 338'000U);
  p.expect_quiet();
}

TEST(Silence, AFullTableProbesSoonerAndClearsItself) {
  ProxyHarness p(with_flows(1000));
  std::vector<std::unique_ptr<Session>> speaking;
  for (std::uint32_t n = 0; n < 1000; ++n) {
    auto c = std::make_unique<Session>(p, numbered(n));
    c->open();
    if (n % 100 != 0) continue;
    c->client_sends("GET /");
    c->server_sends("200 OK");
    speaking.push_back(std::move(c));
  }
  p.advance(35'000);
  forget_output(p);
  EXPECT_GT(p.count(Reason::conn_idle), 300U) << "after a fifth of the time";
  p.advance(210'000);
  EXPECT_EQ(p.flows(), speaking.size());
  forget_output(p);
  for (const auto& c : speaking) c->client_sends("not I");
}

TEST(Silence, AFlowThatSpokeLatelyIsNeverEvicted) {
  for (const Way way : kWays) {
    ProxyHarness p(with_flows(16));
    std::vector<std::unique_ptr<Session>> all;
    for (std::uint32_t n = 0; n < 16; ++n) {
      all.push_back(std::make_unique<Session>(p, numbered(n)));
      leave(*all.back(), way);  // takes a second
    }
    p.advance(1000);
    for (const auto& c : all) p.from_server(c->server().seq(c->server_nxt - 1).build());
    p.advance(4000);
    forget_output(p);
    Session early(p, numbered(100));
    early.syn();
    p.from_client(early.ack_frame());
    EXPECT_EQ(p.count(Reason::table_full), 1U);
    EXPECT_EQ(p.count(Reason::flow_evicted), 0U);
    forget_output(p);
    if (way == Way::kDataUnanswered) continue;  // the server's last segment was no repeat
    p.advance(2500);
    Session late(p, numbered(101));
    late.syn();
    p.from_client(late.ack_frame());
    EXPECT_EQ(p.count(Reason::flow_evicted), 1U);
    // Both ends of the evicted one are told.
    EXPECT_TRUE(p.take_client().has(kRst));
    EXPECT_TRUE(p.take_server().has(kRst));
    EXPECT_EQ(p.take_server().flags, kSyn);
  }
}

// One host behind the proxy sends SYNs to nobody.
TEST(Silence, UnansweredOutboundSynsTakeAShareOfTheTableOnly) {
  ProxyHarness p(with_flows(1024));
  const auto out = [&](std::uint32_t n) {
    return PacketBuilder()
        .macs(kServerMac, kClientMac)
        .ip("203.0.113.10", "192.0.2." + std::to_string(n % 250))
        .ports(80, static_cast<std::uint16_t>(1024 + n / 250))
        .seq(n)
        .flags(kSyn)
        .build();
  };
  std::vector<std::unique_ptr<Session>> clients;
  for (std::uint32_t n = 0; n < 20'000; ++n) {
    EXPECT_EQ(p.from_server(out(n)), Verdict::kForward);
    if (n % 25 == 0 && clients.size() < 800) {
      clients.push_back(std::make_unique<Session>(p, numbered(n)));
      p.to_client.clear();
      clients.back()->open();
      clients.back()->client_sends("GET /");
      clients.back()->server_sends("200 OK");
    }
    p.to_client.clear();
    ASSERT_LE(p.flows(), clients.size() + 128);
  }
  EXPECT_EQ(p.count(Reason::table_full), 0U);
  for (const auto& c : clients) c->client_sends("alive");
  // Among them, a connection to a host that answers.
  const Bytes syn = out(77'777);
  EXPECT_EQ(p.from_server(syn), Verdict::kForward);
  for (std::uint32_t n = 30'000; n < 30'100; ++n) p.from_server(out(n));
  const DecodedFrame asked = *decode(syn);
  p.to_client.clear();
  const PacketBuilder back = PacketBuilder()
                                 .ip("192.0.2." + std::to_string(77'777 % 250), "203.0.113.10")
                                 .ports(1024 + 77'777 / 250, 80)
                                 .seq(5000)
                                 .ack(asked.seq + 1)
                                 .flags(kSyn | kAck);
  EXPECT_EQ(p.from_client(back.build()), Verdict::kForward);
  for (std::uint32_t n = 40'000; n < 41'000; ++n) p.from_server(out(n));
  p.to_client.clear();
  EXPECT_EQ(p.from_client(PacketBuilder(back).seq(5001).flags(kAck).payload("x").build()),
            Verdict::kForward);
  p.to_server.clear();
}

// Its own log connection, say, to a host that never sends data.
TEST(Silence, AConnectionThatTheServerOpenedIsAskedAfterAFinOnly) {
  for (const bool half_closed : {false, true}) {
    ProxyHarness p;
    Session c(p, {.timestamps = false});
    p.from_server(c.server().seq(1000).ack(0).flags(kSyn).build());
    p.from_client(c.client().seq(5000).ack(1001).flags(kSyn | kAck).build());
    p.from_server(c.server().seq(1001).ack(5001).payload("line").build());
    p.from_client(c.client().seq(5001).ack(1005).flags(kAck | (half_closed ? kFin : 0)).build());
    p.from_server(c.server().seq(1005).ack(5001 + (half_closed ? 1 : 0)).build());
    forget_output(p);
    p.advance(120'000);
    EXPECT_EQ(p.count(Reason::keepalive_probe), half_closed ? 2U : 0U);
    if (half_closed) {
      EXPECT_EQ(p.take_server().seq, 5001U);
      EXPECT_EQ(p.take_client().seq, 1004U);
    }
    p.expect_quiet();
  }
}

// A million flows that are due at once are worked off in shares: a tick takes no longer for them.
TEST(Silence, ATickDoesAShareOfWhatIsDue) {
  HarnessOptions h = with_flows(4096);
  h.engine.tuning.idle_timeout_ms = 20'000;
  ProxyHarness p(h);
  for (std::uint32_t n = 0; n < 2000; ++n) {
    Session c(p, numbered(n));
    c.open();
  }
  p.advance(10'000);
  forget_output(p);
  std::uint64_t most = 0;
  for (int tick = 0; tick < 40; ++tick) {
    p.leap(1000);
    most = std::max<std::uint64_t>(most, p.to_client.size() + p.to_server.size());
    forget_output(p);
  }
  EXPECT_EQ(most, 512U);
  p.advance(120'000);
  EXPECT_EQ(p.count(Reason::conn_idle), 2000U);
  forget_output(p);
  EXPECT_EQ(p.flows(), 0U);
}

}  // namespace
}  // namespace synproxy::test
