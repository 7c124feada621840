// SPDX-License-Identifier: BSD-3-Clause
// Every segment that the proxy makes looks, to routers and receivers, like one of the end in whose
// name it is sent: its TTL or hop limit, its DSCP and its flow label.
#include <gtest/gtest.h>

#include <vector>

#include "support/session.h"

namespace synproxy::test {
namespace {

constexpr std::uint8_t kVoice = 0xb8;  // DSCP EF
constexpr std::uint8_t kVideo = 0x88;  // DSCP AF41

SessionOptions with_looks(bool ipv6) {
  SessionOptions o;
  o.ipv6 = ipv6;
  o.client_path.ttl = 119;
  o.client_path.traffic_class = kVoice;
  o.client_path.flow_label = 0xabcde;
  o.server_path.ttl = 255;
  o.server_path.traffic_class = kVideo;
  o.server_path.flow_label = 0x12345;
  return o;
}

void expect_look(const DecodedFrame& f, std::uint8_t ttl, std::uint8_t dscp, std::uint32_t label) {
  EXPECT_EQ(f.ttl, ttl) << f.to_string();
  EXPECT_EQ(f.traffic_class, dscp) << f.to_string();
  EXPECT_EQ(f.flow_label, f.ipv6 ? label : 0) << f.to_string();
}
void expect_clients(const DecodedFrame& f) { expect_look(f, 119, kVoice, 0xabcde); }
void expect_servers(const DecodedFrame& f) { expect_look(f, 255, kVideo, 0x12345); }

class IpLooks : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Family, IpLooks, testing::Bool(),
                         [](const auto& p) { return p.param ? "IPv6" : "IPv4"; });

TEST_P(IpLooks, HandshakeCarriesTheClientsToTheServer) {
  for (const bool timestamps : {true, false}) {
    ProxyHarness p;
    SessionOptions o = with_looks(GetParam());
    o.timestamps = timestamps;
    Session c(p, o);
    expect_look(c.syn(), 119, kVoice, 0xabcde);  // the server is not known yet
    expect_clients(c.ack());
    p.advance(250);
    expect_clients(p.take_server());  // our SYN again
    expect_clients(c.syn_ack());
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    expect_clients(p.take_server());  // our ACK again, since the SYN-ACK came again
    p.advance(250);
    expect_clients(p.take_server());  // and once more after a silence
    p.expect_quiet();
  }
}

TEST_P(IpLooks, EcnBitsOfAPacketAreNotTakenOver) {
  ProxyHarness p;
  SessionOptions o = with_looks(GetParam());
  o.client_path.traffic_class = kVoice | 3;
  o.server_path.traffic_class = kVideo | 1;
  Session c(p, o);
  EXPECT_EQ(c.syn().traffic_class, kVoice);
  EXPECT_EQ(c.ack().traffic_class, kVoice);
  EXPECT_EQ(c.syn_ack().traffic_class, kVoice);
}

TEST_P(IpLooks, OnceTheServerIsKnownItsTtlIsShownFromTheFirstAnswerOn) {
  ProxyHarness p;
  SessionOptions o = with_looks(GetParam());
  Session(p, o).open();
  o.client_port = 40001;
  o.client_path.ttl = 57;
  expect_look(Session(p, o).syn(), 255, kVoice, 0xabcde);
}

TEST_P(IpLooks, WithoutAServerTheTtlIsTheDefaultOrAsHighAsTheClients) {
  for (const auto& [seen, answered] : std::vector<std::pair<std::uint8_t, std::uint8_t>>{
           {1, 64}, {57, 64}, {64, 64}, {128, 128}, {254, 254}, {255, 255}}) {
    ProxyHarness p;
    SessionOptions o{.ipv6 = GetParam()};
    o.client_path.ttl = seen;
    EXPECT_EQ(Session(p, o).syn().ttl, answered);
  }
}

TEST_P(IpLooks, KeepalivesAndResetsLookLikeTheEnds) {
  ProxyHarness p;
  Session c(p, with_looks(GetParam()));
  c.open();
  p.leap(7'430'000);
  for (const auto* kind : {"keepalive", "keepalive with timestamps"}) {
    SCOPED_TRACE(kind);
    expect_clients(p.take_server());
    expect_servers(p.take_client());
  }
  p.leap(80'000);  // asked once more
  while (!p.to_server.empty()) expect_clients(p.take_server());
  while (!p.to_client.empty()) expect_servers(p.take_client());
  EXPECT_EQ(p.count(Reason::conn_idle), 0U);
  p.leap(80'000);
  expect_clients(p.take_server());
  expect_servers(p.take_client());
  EXPECT_EQ(p.count(Reason::conn_idle), 1U);
}

TEST_P(IpLooks, ResetsOfAHandshakeThatFailsLookLikeTheEnds) {
  ProxyHarness p;
  SessionOptions o = with_looks(GetParam());
  Session(p, o).open();  // the server is known from now on
  o.client_port = 40001;
  Session c(p, o);
  c.syn();
  c.ack();
  p.to_server.clear();
  p.advance(10'500);
  while (!p.to_server.empty()) expect_clients(p.take_server());
  const DecodedFrame reset = p.take_client();
  EXPECT_TRUE(reset.has(kRst));
  expect_look(reset, 255, kVoice, 0xabcde);
  // The tombstone answers both ends.
  EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("x").build()), Verdict::kReply);
  expect_look(p.take_client(), 255, kVoice, 0xabcde);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  expect_clients(p.take_server());
}

TEST_P(IpLooks, ChallengedServerIsResetAndAskedAgainInTheClientsName) {
  ProxyHarness p;
  Session c(p, with_looks(GetParam()));
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_server(c.from_server().seq(7).ack(12345).build()), Verdict::kReply);
  expect_clients(p.take_server());
  expect_clients(p.take_server());
}

TEST_P(IpLooks, ResetToAStaleSynAckHasTheTtlThatItsSenderDemands) {
  ProxyHarness p;
  Session c(p, with_looks(GetParam()));
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  expect_look(p.take_server(), 255, kVideo, 0x12345);
}

TEST_P(IpLooks, RepeatedSynAckLooksLikeTheFirst) {
  HarnessOptions h;
  h.engine.tuning.synack_repeats = 1;
  ProxyHarness p(h);
  Session c(p, with_looks(GetParam()));
  const DecodedFrame first = c.syn();
  p.advance(1'100);
  EXPECT_EQ(p.take_client().raw, first.raw);
}

TEST_P(IpLooks, WindowUpdateLooksLikeTheServers) {
  HarnessOptions h;
  h.engine.tuning.early_window = 0;
  ProxyHarness p(h);
  Session c(p, with_looks(GetParam()));
  c.syn();
  c.ack();
  c.syn_ack();
  expect_servers(p.take_client());
}

TEST_P(IpLooks, ConnectionThatTheServerOpenedIsProbedWithTheLooksOfItsEnds) {
  HarnessOptions h;
  h.protect = {"203.0.113.10", "2001:db8::10"};
  ProxyHarness p(h);
  Session c(p, with_looks(GetParam()));
  p.from_server(c.from_server().seq(c.o.server_isn).flags(kSyn).build());
  p.from_client(
      c.from_client().seq(c.o.client_isn).ack(c.o.server_isn + 1).flags(kSyn | kAck).build());
  p.to_client.clear();
  p.to_server.clear();
  p.leap(7'430'000);
  expect_clients(p.take_server());
  expect_servers(p.take_client());
}

}  // namespace
}  // namespace synproxy::test
