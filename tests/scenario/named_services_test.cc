// SPDX-License-Identifier: BSD-3-Clause
// Services with names: whose a packet, a connection and its end are. That all of it is counted is
// checked by the harness, in every test.
#include <gtest/gtest.h>

#include "support/fragments.h"
#include "support/session.h"
#include "synproxy/policy/source_lists.h"

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
  adaptive.adaptive.syn_rate = 10;
  const HarnessOptions h = two_services(adaptive, usual());
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

TEST(ServiceWithItsOwn, AServiceMayOnlyWatchTheLimitsOfAll) {
  HarnessOptions h;
  h.engine.tuning.limits.conns.limits[0] = {.connections = 2, .mask = {}};
  h.engine.tuning.limits.conns.count = 1;
  ServiceTuning watching = service_tuning(h.engine.tuning);
  watching.monitored = kMonitorLimitConns;
  const HarnessOptions named = two_services(watching, service_tuning(h.engine.tuning));
  h.protect = named.protect;
  h.services = named.services;
  h.own = named.own;
  ProxyHarness p(h);
  EXPECT_EQ(opened(p, 80, 1000), 5U);
  EXPECT_EQ(p.count(Reason::limit_conns_monitored), 3U);
  EXPECT_EQ(opened(p, 53, 2000), 0U) << "it has five open, and the budget is one";
  EXPECT_EQ(p.count(Reason::limit_conns), 5U);
}

TEST(ServiceWithItsOwn, MonitorIsItsOwn) {
  HarnessOptions h;
  h.engine.tuning.min_ttl = 100;
  h.engine.tuning.strict_window = true;
  h.engine.tuning.limits.backlog.connections = 1;
  ServiceTuning watching = service_tuning(h.engine.tuning);
  watching.monitored =
      kMonitorMinTtl | kMonitorStrictWindow | kMonitorServerBacklog | kMonitorUnknown;
  const HarnessOptions named = two_services(watching, service_tuning(h.engine.tuning));
  h.protect = named.protect;
  h.services = named.services;
  h.own = named.own;
  ProxyHarness p(h);
  EXPECT_EQ(p.from_client(to_port(80, kAck, 200)), Verdict::kForward);
  EXPECT_EQ(p.from_client(to_port(53, kAck, 200)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::unknown_monitored), 1U);
  EXPECT_EQ(p.counters().services[0].get(Reason::unknown_forwarded), 1U);
  EXPECT_EQ(p.from_client(to_port(80, kSyn, 99)), Verdict::kReply);
  EXPECT_EQ(p.from_client(to_port(53, kSyn, 99)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::min_ttl_monitored), 1U);
  EXPECT_EQ(p.counters().services[0].get(Reason::min_ttl_monitored), 1U);
  EXPECT_EQ(p.count(Reason::ttl_low), 1U);
  p.to_client.clear();
  p.to_server.clear();
  HarnessOptions usual_ttl = h;
  usual_ttl.engine.tuning.min_ttl = 0;
  for (ServiceTuning& t : usual_ttl.own.of) t.min_ttl = 0;
  p.retune(usual_ttl.engine.tuning, &usual_ttl.own);
  EXPECT_EQ(opened(p, 80, 1000), 5U);
  EXPECT_EQ(opened(p, 53, 2000), 1U);
  EXPECT_EQ(p.count(Reason::backlog_monitored), 4U);
  EXPECT_EQ(p.count(Reason::backlog_waited), 4U);
}

TEST(ServiceWithItsOwn, MarksOfAdaptiveModeAreItsOwn) {
  ServiceTuning web = usual();
  web.mode = Mode::kAdaptive;
  web.adaptive = {.backlog = 100, .syn_rate = 5};
  ServiceTuning dns = web;
  dns.adaptive = {.backlog = 1'000, .syn_rate = 50};
  ProxyHarness p(two_services(web, dns));
  const auto forwarded = [&](std::uint16_t port, unsigned most) {
    unsigned n = 0;
    while (n < most && p.from_client(to_port(port, kSyn)) == Verdict::kForward) ++n;
    p.to_client.clear();
    p.to_server.clear();
    return n;
  };
  // In ten seconds. The SYN that passes the mark is answered.
  EXPECT_EQ(forwarded(80, 1'000), 50U);
  EXPECT_EQ(forwarded(53, 1'000), 500U);
}

TEST(ServiceWithItsOwn, CookiesThatAreOnlyWatchedDoNotBegin) {
  ServiceTuning web = usual();
  web.mode = Mode::kAdaptive;
  web.adaptive = {.backlog = 100, .syn_rate = 5};
  ServiceTuning watched = web;
  watched.monitored = kMonitorMode;
  HarnessOptions h = two_services(web, watched);
  ProxyHarness p(h);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kForward);
  }
  EXPECT_EQ(p.count(Reason::mode_monitored), 1U);
  EXPECT_EQ(p.count(Reason::cookies_began), 0U);
  p.advance(5);
  EXPECT_EQ(p.counters().cookies_by_rate.get(), 0U) << "no service has cookies";
  // Once the rule is meant, they begin with the next SYN.
  h.own.of[1].monitored = 0;
  p.retune(h.engine.tuning, &h.own);
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kReply);
  EXPECT_EQ(p.count(Reason::cookies_began), 1U);
  h.own.of[1].monitored = kMonitorMode;
  p.retune(h.engine.tuning, &h.own);
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kForward);
  p.to_client.clear();
  p.to_server.clear();
}

std::vector<Prefix> prefixes(const std::vector<std::string>& texts) {
  std::vector<Prefix> out;
  for (const std::string& text : texts) out.push_back(parse_prefix(text));
  return out;
}
// The service `web` has lists of its own, and `dns` those of all.
SourceLists lists_of_web(const SourceSets& all, const SourceSets& web) {
  SourceLists lists{all, {web}, {}};
  lists.place[1] = 1;
  return lists;
}

TEST(ServiceWithItsOwn, DenyListIsOfItsAddressAndPort) {
  const auto none = prefixes({});
  const SourceLists lists =
      lists_of_web(make_source_sets(none, prefixes({"192.0.2.0/24"}), false),
                   make_source_sets(none, prefixes({"198.51.100.0/24"}), false));
  ProxyHarness p(two_services(usual(), usual()));
  p.use_lists(&lists);
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kReply);
  const auto from_elsewhere = [](std::uint16_t port) {
    PacketBuilder b;
    return b.ipv4("192.0.2.9", "203.0.113.10").ports(1, port).flags(kSyn).mss(1460).build();
  };
  EXPECT_EQ(p.from_client(from_elsewhere(80)), Verdict::kReply) << "its lists take the place";
  EXPECT_EQ(p.from_client(from_elsewhere(53)), Verdict::kDrop);
  // What is of no service, or has no port, is looked at by the lists of all.
  EXPECT_EQ(p.from_client(from_elsewhere(22)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(to_port(22, kSyn)), Verdict::kForward);
  PacketBuilder ping;
  ping.ipv4("198.51.100.7", "203.0.113.10");
  EXPECT_EQ(p.from_client(ping.icmp_error(8, 0, 1, Bytes(8)).build()), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::denied), 3U);
  EXPECT_EQ(p.counters().services[0].get(Reason::denied), 1U);
  EXPECT_EQ(p.counters().services[1].get(Reason::denied), 1U);
  p.to_client.clear();
  p.to_server.clear();
  // In one burst each packet is looked at by its own lists.
  std::vector<Bytes> burst;
  for (int i = 0; i < 8; ++i) {
    burst.push_back(to_port(80, kSyn));
    burst.push_back(to_port(53, kSyn));
    burst.push_back(from_elsewhere(80));
    burst.push_back(from_elsewhere(53));
  }
  const std::vector<Verdict> verdicts = p.feed_burst(Role::kClient, burst);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i], i % 4 == 0 || i % 4 == 3 ? Verdict::kDrop : Verdict::kReply) << i;
  }
  p.use_lists(nullptr);
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kReply);
  p.to_client.clear();
}

TEST(ServiceWithItsOwn, DenyListHoldsForFragmentsToo) {
  const auto none = prefixes({});
  const SourceLists lists = lists_of_web(make_source_sets(none, none, false),
                                         make_source_sets(none, prefixes({"198.51.100.7"}), false));
  HarnessOptions h = two_services(usual(), usual());
  h.engine.tuning.fragments = Fragments::kReassemble;
  ProxyHarness p(h);
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{53}}) {
    Session s(p, {.server_port = port});
    s.open();
    p.use_lists(&lists);
    PacketBuilder data = s.client(kAck | kPsh).payload(std::string(3000, 'x'));
    for (const Bytes& f : cut(data.fragment(0).ip_id(7).build(), 1400)) p.from_client(f);
    EXPECT_EQ(p.to_server.empty(), port == 80);
    p.to_server.clear();
    p.use_lists(nullptr);
  }
  EXPECT_EQ(p.count(Reason::denied), 1U) << "the whole packet";
  EXPECT_EQ(p.counters().services[0].get(Reason::denied), 1U);
}

TEST(ServiceWithItsOwn, AllowListIsItsOwn) {
  const auto none = prefixes({});
  const SourceLists lists = lists_of_web(make_source_sets(none, none, false),
                                         make_source_sets(prefixes({"198.51.100.7"}), none, false));
  ServiceTuning limited = usual();
  limited.conns.limits[0] = {.connections = 1, .mask = {}};
  limited.conns.count = 1;
  ProxyHarness p(two_services(limited, limited));
  p.use_lists(&lists);
  EXPECT_EQ(opened(p, 80, 1000), 5U);
  EXPECT_EQ(p.count(Reason::limit_allowed), 5U);
  EXPECT_EQ(opened(p, 53, 2000), 1U);
  EXPECT_EQ(p.counters().services[0].get(Reason::limit_allowed), 5U);
}

TEST(ServiceWithItsOwn, BogonsAreItsOwnAndMayBeWatched) {
  const auto none = prefixes({});
  const SourceLists lists =
      lists_of_web(make_source_sets(none, none, false), make_source_sets(none, none, true));
  HarnessOptions h = two_services(usual(), usual());
  ProxyHarness p(h);
  p.use_lists(&lists);
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kDrop) << "198.51.100.0/24 is one";
  EXPECT_EQ(p.from_client(to_port(53, kSyn)), Verdict::kReply);
  h.own.of[0].monitored = kMonitorBogons;
  p.retune(h.engine.tuning, &h.own);
  EXPECT_EQ(p.from_client(to_port(80, kSyn)), Verdict::kReply);
  EXPECT_EQ(p.count(Reason::bogon_source), 1U);
  EXPECT_EQ(p.count(Reason::bogons_monitored), 1U);
  p.to_client.clear();
}

}  // namespace
}  // namespace synproxy
