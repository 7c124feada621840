// SPDX-License-Identifier: BSD-3-Clause
// --deny-file, --allow-file, --bogons and --min-ttl: what is dropped before anything is answered,
// and what is not.
#include <gtest/gtest.h>

#include "support/fragments.h"
#include "support/session.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy {
namespace {

using namespace test;

SourceLists lists_of(const std::vector<std::string>& deny,
                     const std::vector<std::string>& allow = {}, bool bogons = false) {
  const auto parsed = [](const std::vector<std::string>& texts) {
    std::vector<Prefix> prefixes;
    for (const std::string& text : texts) prefixes.push_back(parse_prefix(text));
    return prefixes;
  };
  return make_source_lists(parsed(allow), parsed(deny), bogons);
}

const SourceLists& deny_clients() {
  static const SourceLists lists = lists_of({"198.51.100.0/24", "2001:db8:1::/48"});
  return lists;
}

struct Row {
  bool ipv6;
  std::vector<VlanTag> tags;
};
class ListedSource : public ::testing::TestWithParam<Row> {
 protected:
  [[nodiscard]] static SessionOptions from(const std::string& host, std::uint16_t port = 40000) {
    SessionOptions o;
    o.ipv6 = GetParam().ipv6;
    o.tags = GetParam().tags;
    o.client = (o.ipv6 ? "2001:db8:1::" : "198.51.100.") + host;
    o.client_port = port;
    return o;
  }
  [[nodiscard]] static SessionOptions from_elsewhere() {
    SessionOptions o = from("7");
    o.client = o.ipv6 ? "2001:db8:2::7" : "192.0.2.7";
    return o;
  }
  [[nodiscard]] static PacketBuilder packet(const std::string& source, const std::string& to) {
    PacketBuilder b;
    b.vlans(GetParam().tags).ip(source, to);
    return b;
  }
  [[nodiscard]] static std::string client() { return from("7").client; }
  [[nodiscard]] static std::string server() {
    return GetParam().ipv6 ? "2001:db8::10" : "203.0.113.10";
  }
  [[nodiscard]] static std::string unprotected() {
    return GetParam().ipv6 ? "2001:db8::11" : "203.0.113.11";
  }
};
INSTANTIATE_TEST_SUITE_P(Rows, ListedSource,
                         ::testing::Values(Row{false, {}}, Row{true, {}}, Row{false, {{100}}},
                                           Row{true, {{7}, {8}}}));

TEST_P(ListedSource, ADeniedSourceGetsNoAnswerToAnything) {
  ProxyHarness p;
  p.use_lists(&deny_clients());
  Session s(p, from("7"));
  EXPECT_EQ(p.from_client(s.syn_frame()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(s.client(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(s.client(0).build()), Verdict::kDrop) << "whatever else is wrong with it";
  const auto udp = [&](const std::string& to) {
    return packet(client(), to).protocol(17).raw_l4(Bytes(16)).build();
  };
  EXPECT_EQ(p.from_client(udp(server())), Verdict::kDrop);
  const std::uint8_t echo = GetParam().ipv6 ? 128 : 8;
  EXPECT_EQ(p.from_client(packet(client(), server()).icmp_error(echo, 0, 1, Bytes(8)).build()),
            Verdict::kDrop);
  EXPECT_EQ(p.from_client(packet(client(), server()).ports(40000, 22).flags(kSyn).build()),
            Verdict::kDrop)
      << "a port that is not protected, of an address that is";
  const std::vector<Bytes> fragments =
      cut(s.client(kAck).payload(std::string(3000, 'x')).build(), 1400);
  for (const Bytes& f : fragments) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::denied), 7 + fragments.size());
  EXPECT_EQ(p.from_client(udp(unprotected())), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kServer), udp(unprotected()));
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::syn_received), 0U);
  EXPECT_EQ(p.flows(), 0U);
}

TEST_P(ListedSource, OthersAreServedWhileASourceIsDenied) {
  ProxyHarness p;
  p.use_lists(&deny_clients());
  Session s(p, from_elsewhere());
  s.open();
  s.client_sends("page, please");
  s.server_sends("here it is");
  s.close();
  EXPECT_EQ(p.count(Reason::denied), 0U);
}

TEST_P(ListedSource, AListThatComesCutsAConnectionAndLetsItGoOnWhenItGoes) {
  ProxyHarness p;
  Session s(p, from("7"));
  s.open();
  s.client_sends("before");
  p.use_lists(&deny_clients());
  EXPECT_EQ(p.from_client(s.client(kAck | kPsh).payload("lost").build()), Verdict::kDrop);
  p.expect_quiet();
  p.use_lists(nullptr);
  s.client_sends("lost");
  s.server_sends("answer");
  EXPECT_EQ(p.count(Reason::denied), 1U);
}

TEST_P(ListedSource, WhatIsAllowedIsNotDenied) {
  const SourceLists lists =
      lists_of({"198.51.100.0/24", "2001:db8:1::/48"}, {"198.51.100.9", "2001:db8:1::9"}, true);
  ProxyHarness p;
  p.use_lists(&lists);
  Session(p, from("9")).open();
  EXPECT_EQ(p.from_client(Session(p, from("8")).syn_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::denied), 1U) << "counted once, though it is a bogon too";
  EXPECT_EQ(p.count(Reason::bogon_source), 0U);
}

TEST_P(ListedSource, WhatIsAllowedHasNoLimitButNeedsItsCookie) {
  HarnessOptions h;
  h.engine.tuning.limits.rate.limits[0] = {
      .connections = 1, .period_ms = 60'000, .burst = 1, .mask = {}};
  h.engine.tuning.limits.rate.count = 1;
  ProxyHarness p(h);
  const SourceLists lists = lists_of({}, {"198.51.100.9", "2001:db8:1::9"});
  p.use_lists(&lists);
  for (std::uint16_t port = 1000; port < 1010; ++port) Session(p, from("9", port)).open();
  EXPECT_EQ(p.from_client(Session(p, from("9", 99)).client().ack(1).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  // Anybody else has the limit.
  SessionOptions other = from_elsewhere();
  Session(p, other).open();
  other.client_port = 41000;
  Session s(p, other);
  s.syn();
  EXPECT_EQ(p.from_client(s.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::limit_rate), 1U);
}

TEST_P(ListedSource, AMonitoredListCountsAndLetsPass) {
  HarnessOptions h;
  h.engine.tuning.limits.monitored = kMonitorDeny | kMonitorBogons | kMonitorMinTtl;
  h.engine.tuning.min_ttl = 250;
  ProxyHarness p(h);
  const SourceLists lists = lists_of({"198.51.100.0/24", "2001:db8:1::/48"}, {}, true);
  p.use_lists(&lists);
  Session(p, from("7")).open();
  for (const Reason r :
       {Reason::deny_monitored, Reason::bogons_monitored, Reason::min_ttl_monitored}) {
    EXPECT_EQ(p.count(r), 2U) << info(r).name;
  }
  EXPECT_EQ(p.count(Reason::denied) + p.count(Reason::bogon_source) + p.count(Reason::ttl_low), 0U);
}

TEST_P(ListedSource, ABogonIsDroppedUnlessItIsAllowed) {
  const SourceLists bogons = lists_of({}, {}, true);
  ProxyHarness p;
  p.use_lists(&bogons);
  SessionOptions o = from("7");
  o.client = o.ipv6 ? "fd00::7" : "10.1.2.3";
  EXPECT_EQ(p.from_client(Session(p, o).syn_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bogon_source), 1U);
  o.client = o.ipv6 ? "2400::7" : "1.2.3.4";
  Session(p, o).open();
  const SourceLists lab = lists_of({}, {"10.0.0.0/8", "fd00::/8"}, true);
  p.use_lists(&lab);
  o.client = o.ipv6 ? "fd00::7" : "10.1.2.3";
  Session(p, o).open();
  EXPECT_EQ(p.count(Reason::bogon_source), 1U);
}

TEST_P(ListedSource, ARouterWithABogonAddressMayTellThePathMtu) {
  const SourceLists bogons = lists_of({}, {}, true);
  ProxyHarness p;
  SessionOptions o = from("7");
  o.client = o.ipv6 ? "2400::7" : "1.2.3.4";
  Session s(p, o);
  s.open();
  p.use_lists(&bogons);
  const std::string router = o.ipv6 ? "fd00::1" : "10.0.0.1";
  const Bytes quoted = s.server(kAck).seq(s.seen_by_client(s.server_nxt) - 1).build_packet();
  PacketBuilder error = packet(router, s.o.server);
  error.icmp_error(o.ipv6 ? 2 : 3, o.ipv6 ? 0 : 4, 1280, quoted);
  EXPECT_EQ(p.from_client(error.build()), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::icmp_translated), 1U);
  PacketBuilder echo = packet(router, s.o.server);
  echo.icmp_error(o.ipv6 ? 128 : 8, 0, 0, Bytes(8));
  EXPECT_EQ(p.from_client(echo.build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bogon_source), 1U);
  const SourceLists deny = lists_of({router});
  p.use_lists(&deny);
  EXPECT_EQ(p.from_client(error.build()), Verdict::kDrop) << "who is denied says nothing";
  EXPECT_EQ(p.count(Reason::denied), 1U);
}

TEST(SourceLists, NeighboursOfADeniedNetworkStillFindTheServer) {
  ProxyHarness p;
  const SourceLists lists = lists_of({"fe80::/10", "2001:db8::/32"}, {}, true);
  p.use_lists(&lists);
  for (const char* router : {"fe80::1", "2001:db8::1"}) {
    for (const std::uint8_t type : {std::uint8_t{135}, std::uint8_t{136}}) {
      PacketBuilder b;
      b.ip(router, "2001:db8::10").ttl(255).icmp_error(type, 0, 0, Bytes(16));
      EXPECT_EQ(p.from_client(b.build()), Verdict::kForward) << router;
      // From behind a router it is none.
      EXPECT_EQ(p.from_client(b.ttl(254).build()), Verdict::kDrop) << router;
    }
  }
  EXPECT_EQ(p.count(Reason::denied), 4U);
}

TEST_P(ListedSource, ASegmentWithALowTtlIsDropped) {
  HarnessOptions h;
  h.engine.tuning.min_ttl = 30;
  h.engine.tuning.fragments = Fragments::kReassemble;
  ProxyHarness p(h);
  SessionOptions o = from("7");
  o.client_path.ttl = 30;
  Session s(p, o);
  s.open();
  EXPECT_EQ(p.from_client(s.client().ttl(29).payload("x").build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(s.client(kSyn).ttl(1).build()), Verdict::kDrop);
  const std::vector<Bytes> fragments =
      cut(s.client().ttl(29).payload(std::string(3000, 'x')).build(), 1400);
  for (const Bytes& f : fragments) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ttl_low), 2 + fragments.size());
  // Not protected TCP.
  EXPECT_EQ(p.from_client(packet(client(), server()).ttl(3).ports(1, 22).flags(kSyn).build()),
            Verdict::kForward);
  EXPECT_EQ(p.from_client(packet(client(), unprotected()).ttl(3).flags(kSyn).build()),
            Verdict::kForward);
  EXPECT_EQ(p.from_client(packet(client(), server()).ttl(3).protocol(17).raw_l4(Bytes(16)).build()),
            Verdict::kForward);
  p.to_server.clear();
  EXPECT_EQ(p.count(Reason::forwarded), 3U);
  // Servers are not asked.
  o.server_path.ttl = 1;
  EXPECT_EQ(p.from_server(s.server().ttl(1).build()), Verdict::kForward);
  p.to_client.clear();
}

// A flood in bursts, as the kernels for many SYNs and ACKs take it.
TEST(SourceLists, OfABurstThoseThatAreDeniedAreDropped) {
  for (const bool acks : {false, true}) {
    ProxyHarness p;
    const SourceLists lists = lists_of({"198.51.100.0/25"});
    std::vector<Bytes> burst;
    for (unsigned i = 0; i < 32; ++i) {
      SessionOptions o;
      o.client = "198.51.100." + std::to_string(i % 2 == 0 ? i : 128 + i);
      Session s(p, o);
      burst.push_back(acks ? s.client().ack(i).build() : s.syn_frame());
    }
    for (int warm = 0; warm < 4; ++warm) p.feed_burst(Role::kClient, burst);
    p.to_client.clear();
    p.use_lists(&lists);
    const std::vector<Verdict> verdicts = p.feed_burst(Role::kClient, burst);
    for (unsigned i = 0; i < 32; ++i) {
      const Verdict other = acks ? Verdict::kDrop : Verdict::kReply;
      EXPECT_EQ(verdicts[i], i % 2 == 0 ? Verdict::kDrop : other) << i;
    }
    EXPECT_EQ(p.count(Reason::denied), 16U);
    EXPECT_EQ(p.count(acks ? Reason::cookie_invalid : Reason::synack_sent), 4 * 32U + 16U);
    p.to_client.clear();
    const SourceLists all = lists_of({"198.51.100.0/24"});
    p.use_lists(&all);
    p.feed_burst(Role::kClient, burst);
    EXPECT_EQ(p.count(Reason::denied), 48U);
    p.expect_quiet();
  }
}

}  // namespace
}  // namespace synproxy
