// SPDX-License-Identifier: BSD-3-Clause
// Below IP: where the proxy's own frames go when the two directions of a connection have other MAC
// addresses or VLANs, and when those change under way.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy::test {
namespace {

constexpr Mac kBalancer{0x02, 0xba, 0, 0, 0, 1};
constexpr Mac kRouter{0x02, 0xee, 0, 0, 0, 1};
constexpr Mac kStandby{0x02, 0xee, 0, 0, 0, 2};

void expect_way(const DecodedFrame& f, const Mac& source, const Mac& destination) {
  EXPECT_EQ(f.source_mac, source) << f.to_string();
  EXPECT_EQ(f.destination_mac, destination) << f.to_string();
}

// Keepalives: the proxy makes one to each end. Without timestamps there are no others.
struct Keepalives {
  DecodedFrame to_client;
  DecodedFrame to_server;
};
Keepalives keepalives(ProxyHarness& p) {
  p.expect_quiet();
  p.leap(7'430'000);
  Keepalives k{p.take_client(), p.take_server()};
  p.expect_quiet();
  return k;
}

class Ways : public testing::TestWithParam<bool> {
 protected:
  static SessionOptions options() { return {.ipv6 = GetParam(), .timestamps = false}; }
};
INSTANTIATE_TEST_SUITE_P(Family, Ways, testing::Bool(),
                         [](const auto& p) { return p.param ? "IPv6" : "IPv4"; });

// A cluster: clients send to a group address, the stations answer from their own.
TEST_P(Ways, ClusterBehindAGroupAddressIsServed) {
  for (const Mac& group :
       {Mac{0x03, 0xbf, 203, 0, 113, 10}, Mac{0x01, 0x00, 0x5e, 0x7f, 113, 10}}) {
    ProxyHarness p;
    SessionOptions o = options();
    o.client_path.destination = group;
    Session c(p, o);
    const Mac station{0x02, group[1], group[2], group[3], group[4], group[5]};
    expect_way(c.syn(), station, kClientMac);  // a group sends nothing
    expect_way(c.ack(), kClientMac, group);
    expect_way(c.syn_ack(), kClientMac, group);
    expect_way(c.client_sends("GET /"), kClientMac, group);
    expect_way(c.server_sends("hello"), kServerMac, kClientMac);
    c.client_sends("", kAck);
    const Keepalives k = keepalives(p);
    expect_way(k.to_server, kClientMac, group);
    expect_way(k.to_client, kServerMac, kClientMac);
    // From now on the station is known.
    c.o.client_port = 40001;
    expect_way(Session(p, c.o).syn(), kServerMac, kClientMac);
  }
}

// Direct server return: the balancer's frames are answered by way of the router.
TEST_P(Ways, AnswersTakeTheWayThatTheServerShows) {
  HarnessOptions h;
  h.engine.tuning.synack_repeats = 1;
  ProxyHarness p(h);
  SessionOptions o = options();
  o.client_path.source = kBalancer;
  o.server_path.destination = kRouter;
  Session c(p, o);
  expect_way(c.syn(), kServerMac, kBalancer);  // nobody has shown anything else yet
  expect_way(c.ack(), kBalancer, kServerMac);
  expect_way(c.syn_ack(), kBalancer, kServerMac);
  c.client_sends("GET /");
  p.advance(1'100);  // the first SYN-ACK is forgotten
  o.client_port = 40001;
  Session next(p, o);
  expect_way(next.syn(), kServerMac, kRouter);
  p.advance(1'100);
  expect_way(p.take_client(), kServerMac, kRouter);  // the SYN-ACK again
  next.ack();
  p.to_server.clear();
  p.advance(11'000);  // the server is silent
  expect_way(p.take_client(), kServerMac, kRouter);
  while (!p.to_server.empty()) expect_way(p.take_server(), kBalancer, kServerMac);
  // A tombstone answers in place.
  EXPECT_EQ(p.from_client(next.client(kAck | kPsh).payload("x").build()), Verdict::kReply);
  expect_way(p.take_client(), kServerMac, kRouter);
  const Keepalives k = keepalives(p);
  expect_way(k.to_client, kServerMac, kRouter);
  expect_way(k.to_server, kBalancer, kServerMac);
}

TEST_P(Ways, AWayIsTakenForStrangersOnceTwoClientsHaveShownIt) {
  ProxyHarness p;
  SessionOptions o = options();
  const auto client = [&](unsigned n) {
    o.client = (o.ipv6 ? "2001:db8:1::" : "198.51.100.") + std::to_string(n);
    return Session(p, o);
  };
  o.client_path.source = kBalancer;
  o.server_path.destination = kRouter;
  client(1).open();
  expect_way(client(2).syn(), kServerMac, kBalancer);
  client(2).open();
  expect_way(client(3).syn(), kServerMac, kRouter);
}

TEST_P(Ways, FailOverOfTheRouterIsFollowed) {
  ProxyHarness p;
  Session c(p, options());
  c.open();
  c.o.client_path.source = kStandby;
  c.client_sends("a");
  const Keepalives k = keepalives(p);
  expect_way(k.to_client, kServerMac, kStandby);
  expect_way(k.to_server, kStandby, kServerMac);
}

TEST_P(Ways, FailOverOfTheServerIsFollowed) {
  ProxyHarness p;
  Session c(p, options());
  c.open();
  c.o.server_path.source = kStandby;
  c.server_sends("a");
  const Keepalives k = keepalives(p);
  expect_way(k.to_client, kStandby, kClientMac);
  expect_way(k.to_server, kClientMac, kStandby);
}

TEST_P(Ways, FailOverWhileTheServerIsSilentIsFollowed) {
  ProxyHarness p;
  Session c(p, options());
  c.syn();
  c.ack();
  c.o.client_path.source = kStandby;
  EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("x").build()), Verdict::kDrop);
  p.advance(250);
  expect_way(p.take_server(), kStandby, kServerMac);
}

// Whoever forges a segment from his own MAC address must not get the frames of a live flow.
TEST_P(Ways, OnlyAGoodSegmentLeadsAFlowAway) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session c(p, options());
  c.open();
  c.client_sends("a");
  c.server_sends("b");
  Session forged = c;
  forged.o.client_path.source = forged.o.server_path.source = kStandby;
  p.from_client(forged.client().seq(c.client_nxt + 0x40000000).payload("x").build());
  p.from_client(forged.client().ack(0x12345678).payload("x").build());
  p.from_client(forged.client().payload("x").break_l4_checksum().build());
  p.from_client(forged.client(kRst | kAck).seq(c.client_nxt + 1'000).build());
  p.from_client(forged.from_client().seq(77).flags(kSyn).build());
  p.from_server(forged.server().seq(c.server_nxt + 0x40000000).payload("x").build());
  p.from_server(forged.server().payload("x").break_l4_checksum().build());
  p.to_client.clear();
  p.to_server.clear();
  c.client_sends("c");  // it lives
  const Keepalives k = keepalives(p);
  expect_way(k.to_client, kServerMac, kClientMac);
  expect_way(k.to_server, kClientMac, kServerMac);
}

SessionOptions private_vlan(SessionOptions o) {
  o.tags = {{0xa064, kEtherTypeVlan}};         // 100, with a priority
  o.server_tags = {{0x6065, kEtherTypeVlan}};  // 101
  return o;
}
std::uint16_t vid(const DecodedFrame& f) {
  EXPECT_EQ(f.tags.size(), 1U);
  return f.tags.empty() ? 0 : f.tags[0].tci & 0xfff;
}

TEST_P(Ways, PrivateVlansThatTheOperatorPairsAreOneConnection) {
  HarnessOptions h;
  h.vlan_pairs = {{200, 201}, {100, 101}};
  h.engine.tuning.synack_repeats = 1;
  ProxyHarness p(h);
  Session c(p, private_vlan(options()));
  EXPECT_EQ(vid(c.syn()), 101);
  EXPECT_EQ(vid(c.ack()), 100);
  p.advance(250);
  EXPECT_EQ(vid(p.take_server()), 100);  // our SYN again
  EXPECT_EQ(vid(c.syn_ack()), 100);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(vid(p.take_server()), 100);
  EXPECT_EQ(vid(c.client_sends("GET /")), 100);
  EXPECT_EQ(vid(c.server_sends("hello")), 101);
  c.client_sends("", kAck);
  p.advance(1'100);
  const Keepalives k = keepalives(p);
  EXPECT_EQ(vid(k.to_client), 101);
  EXPECT_EQ(vid(k.to_server), 100);
  // What has no flow is answered in its own direction too.
  c.o.client_port = 40001;
  Session next(p, c.o);
  EXPECT_EQ(vid(next.syn()), 101);
  p.advance(1'100);
  EXPECT_EQ(vid(p.take_client()), 101);  // the SYN-ACK again
  EXPECT_EQ(p.from_server(next.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(vid(p.take_server()), 100);
}

// One burst of SYNs, each with options_of(i); each n-th comes by a private VLAN.
template <typename Options>
void expect_answers(ProxyHarness& p, unsigned syns, unsigned n, Options&& options_of) {
  constexpr unsigned kFirstPort = 41'000;
  std::vector<Bytes> burst;
  for (unsigned i = 0; i < syns; ++i) {
    SessionOptions o = options_of(i);
    if (i % n == 0) o = private_vlan(o);
    o.client_port = static_cast<std::uint16_t>(kFirstPort + i);
    burst.push_back(Session(p, o).syn_frame());
  }
  p.feed_burst(Role::kClient, burst);
  for (unsigned i = 0; i < syns; ++i) {
    const DecodedFrame f = p.take_client();
    EXPECT_EQ(f.destination_port, kFirstPort + i);
    if (i % n == 0) {
      EXPECT_EQ(vid(f), 101);
    } else {
      EXPECT_TRUE(f.tags.empty());
    }
  }
}

// Where families are mixed, the burst is sorted by a kernel that sees tags too.
TEST_P(Ways, SynsOfPrivateVlansAreAnsweredBesideTheOtherFamily) {
  HarnessOptions h;
  h.vlan_pairs = {{100, 101}};
  h.protect = {"203.0.113.10:80", "[2001:db8::10]:80"};
  ProxyHarness p(h);
  for (int round = 0; round < 3; ++round) {
    expect_answers(p, 30, 3, [](unsigned i) {
      SessionOptions o = options();
      o.ipv6 = (i % 3 == 1) != o.ipv6;
      return o;
    });
  }
}

TEST_P(Ways, SynsOfPrivateVlansAreAnsweredInBurstsToo) {
  HarnessOptions h;
  h.vlan_pairs = {{100, 101}};
  ProxyHarness p(h);
  expect_answers(p, 16, 2, [](unsigned) { return options(); });
}

TEST_P(Ways, WithoutAPairTheVlanOfTheOtherDirectionIsAStrangers) {
  ProxyHarness p;
  Session c(p, private_vlan(options()));
  c.syn();
  c.ack();
  p.from_server(c.syn_ack_frame());
  EXPECT_EQ(p.count(Reason::synack_stale), 1U);
  p.to_server.clear();
}

}  // namespace
}  // namespace synproxy::test
