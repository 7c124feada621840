// SPDX-License-Identifier: BSD-3-Clause
// Services with names: whose a packet, a connection and its end are. That all of it is counted is
// checked by the harness, in every test.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// An engine between the services `web` (1) and `dns` (2) and an address of neither.
class Named : public testing::Test {
 protected:
  Named() {
    for (std::uint64_t e = 0; e < 4; ++e) ring_.publish(test_keys(1, e));
  }
  static ProtectRule rule(const char* text, NamedServiceId service) {
    ProtectRule out = parse_protect_rule(text);
    out.service = service;
    return out;
  }
  [[nodiscard]] std::uint64_t count(std::size_t service, Reason r) const {
    return counters_.services[service].get(r);
  }
  void feed(Role sender, std::vector<Bytes> frames) {
    std::vector<Packet> packets;
    for (Bytes& frame : frames) {
      const auto length = static_cast<std::uint32_t>(frame.size());
      frame.resize(2048);
      packets.push_back({.data = frame.data(), .length = length, .room = 2048});
    }
    engine_.process(sender, packets, 1000, sink_);
  }
  static Bytes syn(const char* server, std::uint16_t port, std::uint16_t client_port) {
    PacketBuilder b;
    b.ipv4("198.51.100.7", server).ports(client_port, port).flags(kSyn).mss(1460);
    return b.build();
  }

  class Nowhere final : public FrameSink {
    void emit(Role, std::span<const std::uint8_t>) override {}
  };

  ProtectSet protect_{{rule("203.0.113.0/24", 0), rule("203.0.113.10:80", 1),
                       rule("[2001:db8::10]:80", 1), rule("203.0.113.10:53", 2)}};
  KeyRing ring_;
  Counters counters_;
  Engine engine_{small_engine(), protect_, ring_, {1, 2, 3, 4}, counters_};
  Nowhere sink_;
};

TEST_F(Named, EachSynCountsForTheServiceOfItsAddressAndPort) {
  ASSERT_EQ(counters_.services.size(), 2U);
  std::vector<Bytes> flood;
  for (std::uint16_t port = 1; port <= 30; ++port) {
    flood.push_back(syn("203.0.113.10", port % 3 == 0 ? 53 : 80, port));
  }
  flood.push_back(syn("203.0.113.10", 22, 1));  // protected, without a name
  flood.push_back(syn("192.0.2.1", 80, 1));     // not protected
  feed(Role::kClient, flood);
  EXPECT_EQ(count(0, Reason::syn_received), 20U);
  EXPECT_EQ(count(0, Reason::synack_sent), 20U);
  EXPECT_EQ(count(1, Reason::syn_received), 10U);
  EXPECT_EQ(count(1, Reason::synack_sent), 10U);
  EXPECT_EQ(counters_.get(Reason::syn_received), 31U);
  EXPECT_EQ(counters_.get(Reason::forwarded), 1U);
}

TEST_F(Named, JunkAndForgedAcksCountAsDropsOfTheServiceThatTheyAreAimedAt) {
  std::vector<Bytes> aimed;
  for (const std::uint16_t flags : {std::uint16_t{kSyn | kFin}, std::uint16_t{kAck}}) {
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{53}, std::uint16_t{80}}) {
      PacketBuilder b;
      b.ipv4("198.51.100.7", "203.0.113.10").ports(40000, port).flags(flags).seq(5).ack(6);
      aimed.push_back(b.build());
    }
  }
  feed(Role::kClient, aimed);
  EXPECT_EQ(count(0, Reason::syn_fin), 2U);
  EXPECT_EQ(count(1, Reason::syn_fin), 1U);
  EXPECT_EQ(count(0, Reason::cookie_invalid), 2U);
  EXPECT_EQ(count(1, Reason::cookie_invalid), 1U);
  EXPECT_EQ(count(0, Reason::syn_received), 0U);
}

TEST_F(Named, WithoutNamesNothingIsKept) {
  const ProtectSet plain({parse_protect_rule("203.0.113.10:80")});
  Counters counters;
  const Engine engine(small_engine(), plain, ring_, {1, 2, 3, 4}, counters);
  EXPECT_TRUE(counters.services.empty());
}

// The services `web` on port 80 and `dns` on port 53 of one address, each with its own tuning.
HarnessOptions two_services(const ServiceTuning& web, const ServiceTuning& dns) {
  HarnessOptions h;
  h.protect = {"203.0.113.10:80", "203.0.113.10:53"};
  h.services = {1, 2};
  h.own.of[0] = web;
  h.own.of[1] = dns;
  h.own.count = 2;
  return h;
}
ServiceTuning usual() { return service_tuning(small_engine().tuning); }

Bytes to_port(std::uint16_t port, std::uint16_t flags, std::uint8_t ttl = 57) {
  PacketBuilder b;
  b.ipv4("198.51.100.7", "203.0.113.10").ports(40000, port).flags(flags).seq(5).ttl(ttl);
  return (flags == kSyn ? b.mss(1460) : b.ack(6)).build();
}

TEST(ServiceWithItsOwn, ModeDecidesWhoseSynsAreAnswered) {
  ServiceTuning off = usual();
  off.mode = Mode::kOff;
  HarnessOptions h = two_services(usual(), off);
  ProxyHarness p(h);
  // In one burst, long enough for the columns.
  std::vector<Bytes> burst;
  for (std::uint16_t i = 0; i < 32; ++i) {
    PacketBuilder b;
    b.ipv4("198.51.100.7", "203.0.113.10")
        .ports(static_cast<std::uint16_t>(1000 + i), i % 2 == 0 ? 80 : 53);
    burst.push_back(b.flags(kSyn).mss(1460).build());
  }
  const std::vector<Verdict> verdicts = p.feed_burst(Role::kClient, burst);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i], i % 2 == 0 ? Verdict::kReply : Verdict::kForward) << i;
  }
  EXPECT_EQ(p.count(Reason::synack_sent), 16U);
  EXPECT_EQ(p.count(Reason::watched), 16U);
  // A forged ACK has nothing to prove where no cookies are sent.
  EXPECT_EQ(p.from_client(to_port(80, kAck)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(to_port(53, kAck)), Verdict::kForward);
  // Afterwards all are alike again, and none passes.
  const ServiceTunings none;
  p.retune(h.engine.tuning, &none);
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kReply);
  p.to_client.clear();
  p.to_server.clear();
}

TEST(ServiceWithItsOwn, ModeMayBeAdaptiveWhereAllOthersHaveCookies) {
  ServiceTuning adaptive = usual();
  adaptive.mode = Mode::kAdaptive;
  HarnessOptions h = two_services(adaptive, usual());
  h.engine.tuning.adaptive.syn_rate = 10;
  ProxyHarness p(h);
  const auto flood = [&](std::uint16_t port) {
    for (int i = 0; i < 200; ++i) p.from_client(to_port(port, kSyn));
    p.to_client.clear();
    p.to_server.clear();
  };
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kForward);
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kReply);
  flood(53);
  EXPECT_EQ(p.count(Reason::cookies_began), 0U) << "the other's SYNs are not counted";
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kForward);
  flood(80);
  EXPECT_EQ(p.count(Reason::cookies_began), 1U);
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kReply);
  p.to_client.clear();
  p.to_server.clear();
}

TEST(ServiceWithItsOwn, UnknownSegmentsGoTheirWay) {
  ServiceTuning forward = usual();
  forward.unknown = Unknown::kForward;
  ProxyHarness p(two_services(usual(), forward));
  std::vector<Bytes> flood;
  for (int i = 0; i < 16; ++i) {
    flood.push_back(to_port(80, kAck));
    flood.push_back(to_port(53, kAck));
  }
  const std::vector<Verdict> verdicts = p.feed_burst(Role::kClient, flood);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i], i % 2 == 0 ? Verdict::kDrop : Verdict::kForward) << i;
  }
  EXPECT_EQ(p.count(Reason::cookie_invalid), 16U);
  EXPECT_EQ(p.count(Reason::unknown_forwarded), 16U);
  p.to_server.clear();
}

TEST(ServiceWithItsOwn, MinTtlIsThatOfThePort) {
  ServiceTuning strict = usual();
  strict.min_ttl = 100;
  ServiceTuning loose = usual();
  loose.min_ttl = 10;
  ProxyHarness p(two_services(strict, loose));
  EXPECT_EQ(p.from_client(to_port(80, kSyn, 99)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(to_port(53, kSyn, 99)), Verdict::kReply);
  EXPECT_EQ(p.from_client(to_port(80, kSyn, 100)), Verdict::kReply);
  EXPECT_EQ(p.from_client(to_port(53, kSyn, 9)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ttl_low), 2U);
  p.to_client.clear();
}

TEST(ServiceWithItsOwn, StrictWindowIsItsOwn) {
  ServiceTuning strict = usual();
  strict.strict_window = true;
  ProxyHarness p(two_services(strict, usual()));
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{53}}) {
    Session s(p, {.client_port = port, .server_port = port});
    s.open();
    const Bytes far = s.client(kAck).seq(s.client_nxt + 0x40000000).payload("x").build();
    EXPECT_EQ(p.from_client(far), port == 80 ? Verdict::kDrop : Verdict::kForward);
  }
  EXPECT_EQ(p.count(Reason::out_of_window), 1U);
  p.to_server.clear();
}

TEST(ServiceWithItsOwn, BacklogBoundsItAlone) {
  ServiceTuning bounded = usual();
  bounded.backlog.connections = 1;
  ProxyHarness p(two_services(bounded, usual()));
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{53}}) {
    for (std::uint16_t i = 0; i < 3; ++i) {
      Session s(p, {.client_port = static_cast<std::uint16_t>(1000 + i), .server_port = port});
      s.syn();
      p.from_client(s.ack_frame());
    }
    EXPECT_EQ(p.to_server.size(), port == 80 ? 1U : 3U) << "SYNs to the server of port " << port;
    p.to_server.clear();
  }
  EXPECT_EQ(p.count(Reason::backlog_waited), 2U);
}

// How many connections of one client are opened to the port, of five.
unsigned opened(ProxyHarness& p, std::uint16_t port, std::uint16_t first_port) {
  unsigned made = 0;
  for (std::uint16_t i = 0; i < 5; ++i) {
    Session s(p, {.client_port = static_cast<std::uint16_t>(first_port + i), .server_port = port});
    s.syn();
    p.from_client(s.ack_frame());
    made += p.to_server.empty() ? 0U : 1U;
    p.to_server.clear();
    p.to_client.clear();
  }
  return made;
}

TEST(ServiceWithItsOwn, LimitsAreThoseOfTheServiceAndItsBudgetIsItsOwn) {
  ServiceTuning web = usual();
  web.conns.limits[0] = {.connections = 2, .mask = {}};
  web.conns.count = 1;
  web.action = LimitAction::kReset;
  HarnessOptions h = two_services(web, usual());
  h.engine.tuning.limits.conns.limits[0] = {.connections = 3, .mask = {}};
  h.engine.tuning.limits.conns.count = 1;
  h.own.of[1].conns = h.engine.tuning.limits.conns;
  ProxyHarness p(h);
  EXPECT_EQ(opened(p, 80, 1000), 2U);
  EXPECT_EQ(p.count(Reason::limit_conns), 3U);
  EXPECT_EQ(p.count(Reason::rst_to_client), 3U);
  EXPECT_EQ(opened(p, 53, 2000), 3U) << "what it has open elsewhere does not count";
  EXPECT_EQ(p.count(Reason::rst_to_client), 3U) << "dropped, as everywhere else";
  // Now the limit is that of all: the connections that are open count where they were counted.
  const ServiceTunings none;
  p.retune(h.engine.tuning, &none);
  EXPECT_EQ(opened(p, 80, 3000), 0U) << "three are open elsewhere";
  p.advance(h.engine.tuning.server_timeout_ms + 100);
  p.to_client.clear();
  p.to_server.clear();
  p.retune(h.engine.tuning, &h.own);
  EXPECT_EQ(opened(p, 80, 4000), 2U) << "its budget came back";
  EXPECT_EQ(opened(p, 53, 5000), 3U);
  p.to_client.clear();
}

TEST(ServiceWithItsOwn, RateMayBeLimitedForItAlone) {
  ServiceTuning web = usual();
  web.rate.limits[0] = {.connections = 1, .period_ms = 60'000, .burst = 1, .mask = {}};
  web.rate.count = 1;
  ProxyHarness p(two_services(web, usual()));
  EXPECT_EQ(opened(p, 80, 1000), 1U);
  EXPECT_EQ(opened(p, 53, 2000), 5U);
  EXPECT_EQ(p.count(Reason::limit_rate), 4U);
}

}  // namespace
}  // namespace synproxy
