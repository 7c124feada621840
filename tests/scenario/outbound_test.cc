// SPDX-License-Identifier: BSD-3-Clause
// Connections that a server opens itself: blind attacks on them, and both ends opening at once.
#include <gtest/gtest.h>

#include <optional>

#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions whole_address() {
  HarnessOptions h;
  h.protect = {"203.0.113.10", "2001:db8::10"};
  return h;
}

constexpr std::uint32_t kServerIsn = 1'000;
constexpr std::uint32_t kPeerIsn = 0xffffff00;

class OutboundExact : public testing::TestWithParam<bool> {
 protected:
  PacketBuilder out(std::uint16_t flags = kAck) const {
    PacketBuilder b;
    b.macs(kServerMac, kClientMac).ip(server, peer).ports(33'333, 443);
    b.seq(server_nxt).ack(peer_nxt).flags(flags).window(0xffff);
    return b;
  }
  PacketBuilder in(std::uint16_t flags = kAck) const {
    PacketBuilder b;
    b.ip(peer, server).ports(443, 33'333);
    b.seq(peer_nxt).ack(server_nxt).flags(flags).window(0xffff);
    return b;
  }
  PacketBuilder syn_out(std::uint32_t isn) const { return out().seq(isn).ack(0).flags(kSyn); }
  PacketBuilder syn_in(std::uint32_t isn) const { return in().seq(isn).ack(0).flags(kSyn); }
  void pass_out(const PacketBuilder& b) {
    const Bytes f = b.build();
    EXPECT_EQ(p.from_server(f), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kClient), f);
  }
  void pass_in(const PacketBuilder& b) {
    const Bytes f = b.build();
    EXPECT_EQ(p.from_client(f), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), f);
  }
  void open(std::optional<std::uint8_t> server_scale, std::optional<std::uint8_t> peer_scale) {
    PacketBuilder syn = syn_out(kServerIsn).mss(1460);
    if (server_scale) syn.window_scale(*server_scale);
    pass_out(syn);
    PacketBuilder syn_ack = in(kSyn | kAck).seq(kPeerIsn).mss(1460);
    if (peer_scale) syn_ack.window_scale(*peer_scale);
    pass_in(syn_ack);
    pass_out(out());
    pass_out(out().payload("GET"));
    server_nxt += 3;
    pass_in(in().payload("200"));
    peer_nxt += 3;
    pass_out(out());
  }
  void forged(Role from, const PacketBuilder& b) {
    from == Role::kClient ? p.from_client(b.build()) : p.from_server(b.build());
    p.to_client.clear();
    p.to_server.clear();
  }
  [[nodiscard]] std::uint64_t resets() const { return p.count(Reason::conn_reset); }

  ProxyHarness p{whole_address()};
  const char* server = GetParam() ? "2001:db8::10" : "203.0.113.10";
  const char* peer = GetParam() ? "2001:db8:1::7" : "198.51.100.7";
  std::uint32_t server_nxt = kServerIsn + 1;
  std::uint32_t peer_nxt = kPeerIsn + 1;
};

TEST_P(OutboundExact, WindowsHaveTheScalesOfTheSyns) {
  struct Row {
    std::optional<std::uint8_t> server, peer;
    std::uint32_t in_window;  // for the peer's segments
    std::uint32_t beyond;
  };
  const Row rows[] = {
      {std::nullopt, std::nullopt, 0xffff, 0x10001},
      {7, std::nullopt, 0xffff, 0x10001},
      {std::nullopt, 7, 0xffff, 0x10001},
      {7, 2, 0xffff << 7, 0x10001 << 7},
      {0, 14, 0xffff, 0x10001},
  };
  std::uint16_t port = 1'000;
  for (const Row& row : rows) {
    ProxyHarness q(whole_address());
    const auto from = [&](bool from_server, std::uint16_t flags, std::uint32_t seq,
                          std::uint32_t ack, std::optional<std::uint8_t> scale = std::nullopt) {
      PacketBuilder b;
      from_server ? b.ip(server, peer).ports(port, 443) : b.ip(peer, server).ports(443, port);
      b.seq(seq).ack(ack).flags(flags).window(0xffff);
      if (scale) b.window_scale(*scale);
      return from_server ? q.from_server(b.build()) : q.from_client(b.build());
    };
    from(true, kSyn, kServerIsn, 0, row.server);
    from(false, kSyn | kAck, kPeerIsn, kServerIsn + 1, row.peer);
    from(true, kAck, kServerIsn + 1, kPeerIsn + 1);
    EXPECT_EQ(from(false, kRst, kPeerIsn + 1 + row.beyond, 0), Verdict::kDrop);
    EXPECT_EQ(q.count(Reason::rst_out_of_window), 1U);
    EXPECT_EQ(from(false, kRst, kPeerIsn + 1 + row.in_window, 0), Verdict::kForward);
    EXPECT_EQ(q.count(Reason::conn_reset), 0U);
    q.to_client.clear();
    q.to_server.clear();
  }
}

// 12 packets were enough: data a quarter of the number space away, and a RST behind it.
TEST_P(OutboundExact, ForgedDataAndARstBehindItEndNothing) {
  open(7, 7);
  for (std::uint32_t i = 0; i < 4'096; ++i) {
    const std::uint32_t at = i << 20;
    if (at == 0) continue;
    for (const std::uint32_t ack : {server_nxt, server_nxt - 3, server_nxt + (1U << 29)}) {
      forged(Role::kClient, in().seq(peer_nxt + at).ack(ack).payload("forged"));
      forged(Role::kClient, in(kRst).seq(peer_nxt + at + 6));
      forged(Role::kServer, out().seq(server_nxt + at).payload("forged"));
      forged(Role::kServer, out(kRst).seq(server_nxt + at + 6));
    }
  }
  EXPECT_EQ(resets(), 0U);
  pass_in(in().payload("still here"));
  peer_nxt += 10;
  pass_out(out());
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  pass_in(in(kRst | kAck));
  EXPECT_EQ(resets(), 1U) << "the peer's own RST is exact";
  p.expect_empty_after(63'000);
}

TEST_P(OutboundExact, ResetOneThatLivesComesBackAndIsAskedBeforeItIsFreed) {
  open(7, 7);
  forged(Role::kClient, in(kRst).ack(0).flags(kRst));
  EXPECT_EQ(resets(), 1U);
  p.advance(2'000);
  pass_in(in().payload("alive"));
  peer_nxt += 5;
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  pass_out(out());

  forged(Role::kServer, out(kRst).ack(0).flags(kRst));
  EXPECT_EQ(resets(), 2U);
  p.advance(57'000);
  EXPECT_EQ(p.count(Reason::keepalive_probe), 2U);
  EXPECT_EQ(p.take_client().ack, peer_nxt);
  EXPECT_EQ(p.take_server().ack, server_nxt);
  pass_out(out());
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  p.advance(600'000);
  EXPECT_EQ(p.flows(), 1U);
}

// One SYN from the server's side used to turn a live connection into one that nobody has answered.
TEST_P(OutboundExact, ForgedSynOfTheServerDisplacesNothing) {
  open(7, 7);
  forged(Role::kServer, syn_out(0x40000000));
  p.advance(120'000);
  EXPECT_EQ(p.flows(), 1U);
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  pass_in(in().payload("alive"));
  peer_nxt += 5;
  pass_in(in(kRst | kAck));
  EXPECT_EQ(resets(), 1U) << "its numbers are the old ones";
}

TEST_P(OutboundExact, PeersSynDoesNotMakeASynAckBelievable) {
  open(7, 7);
  EXPECT_EQ(p.from_client(syn_in(0x40000000).mss(1460).build()), Verdict::kReply);
  forged(Role::kClient, in(kSyn | kAck).seq(0x50000000).ack(0x40000001));
  pass_in(in(kRst | kAck));
  EXPECT_EQ(resets(), 1U) << "its numbers are the old ones";
}

TEST_P(OutboundExact, RestartedServersConnectionIsFollowedWhenThePeerAnswers) {
  for (const auto scale : {std::optional<std::uint8_t>(7), std::optional<std::uint8_t>()}) {
    server_nxt = kServerIsn + 1;
    peer_nxt = kPeerIsn + 1;
    open(scale, scale);
    const std::uint64_t before = resets();
    pass_out(syn_out(0x40000000).window_scale(7));
    pass_in(in());  // the peer challenges it, and the server resets
    pass_out(out(kRst).seq(server_nxt).ack(0).flags(kRst));
    EXPECT_EQ(resets(), before + 1);
    pass_out(syn_out(0x40000000).window_scale(7));
    pass_in(in(kSyn | kAck).seq(0x50000000).ack(0x40000001).window_scale(7));
    server_nxt = 0x40000001;
    peer_nxt = 0x50000001;
    pass_out(out());
    pass_in(in().payload("new"));
    peer_nxt += 3;
    EXPECT_EQ(p.counters().flows_established.get(), 1U);
    pass_in(in(kRst | kAck));
    EXPECT_EQ(resets(), before + 2);
    p.expect_empty_after(63'000);
    p.to_client.clear();
    p.to_server.clear();
  }
}

// --- both ends open at the same time

TEST_P(OutboundExact, SimultaneousOpenWithTheServersSynFirstIsFollowed) {
  pass_out(syn_out(kServerIsn).window_scale(7));
  pass_in(syn_in(kPeerIsn).window_scale(7));
  pass_out(out(kSyn | kAck).seq(kServerIsn).window_scale(7));
  pass_in(in());
  EXPECT_EQ(p.counters().flows_established.get(), 1U);
  p.advance(120'000);
  EXPECT_EQ(p.flows(), 1U) << "it lives as long as any other";
  pass_in(in(kRst | kAck));
  EXPECT_EQ(resets(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Families, OutboundExact, testing::Bool(), [](const auto& family) {
  return std::string(family.param ? "Ipv6" : "Ipv4");
});

// The client's SYN came first and has its SYN-ACK. `auto`: the service is being learned.
class SimultaneousOpen : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  SimultaneousOpen() {
    HarnessOptions h = whole_address();
    if (std::get<0>(GetParam())) h.engine.tuning.offer = EngineConfig{}.tuning.offer;
    p = std::make_unique<ProxyHarness>(h);
    SessionOptions o;
    o.timestamps = !std::get<0>(GetParam());
    o.ipv6 = std::get<1>(GetParam());
    c = std::make_unique<Session>(*p, o);
    c->syn();
  }
  Bytes servers_syn() const {
    return c->server(kSyn)
        .seq(c->o.server_isn)
        .ack(0)
        .flags(kSyn)
        .mss(1460)
        .sack_permitted()
        .build();
  }
  // The server answers from the connection that it was opening: with all that it can do.
  Bytes servers_answer() const {
    PacketBuilder b;
    b.macs(kServerMac, kClientMac).ip(c->o.server, c->o.client);
    b.ports(c->o.server_port, c->o.client_port);
    b.seq(c->o.server_isn).ack(c->o.client_isn + 1).flags(kSyn | kAck).window(65'160).mss(1460);
    b.sack_permitted().timestamps(c->server_first_ts, c->client_ts).window_scale(7);
    return b.build();
  }
  void works() {
    EXPECT_EQ(p->from_server(servers_answer()), Verdict::kReply);
    const DecodedFrame ack = p->take_server();
    EXPECT_EQ(ack.flags, kAck) << ack.to_string();
    p->expect_quiet();
    EXPECT_EQ(p->count(Reason::conn_established), 1U);
    EXPECT_EQ(p->count(Reason::rst_to_server) + p->count(Reason::rst_to_client), 0U);
    c->client_sends("hello");
    c->server_sends("hello");
    c->close();
    EXPECT_EQ(p->count(Reason::conn_finished), 1U);
  }

  std::unique_ptr<ProxyHarness> p;
  std::unique_ptr<Session> c;
};

TEST_P(SimultaneousOpen, WorksIfTheServersSynCrossesOurs) {
  c->ack();
  EXPECT_EQ(p->from_server(servers_syn()), Verdict::kDrop);
  works();
}

TEST_P(SimultaneousOpen, WorksIfTheServersSynComesBeforeTheClientsAck) {
  EXPECT_EQ(p->from_server(servers_syn()), Verdict::kForward);
  p->to_client.clear();
  const DecodedFrame syn = c->ack();
  EXPECT_EQ(syn.timestamps.size(), c->o.timestamps ? 1U : 0U) << "nothing is asked for twice";
  EXPECT_EQ(p->from_client(c->ack_frame()), Verdict::kDrop) << "the client's answer to that SYN";
  works();
  EXPECT_EQ(p->count(Reason::conn_reopened), 0U);
}

INSTANTIATE_TEST_SUITE_P(Offers, SimultaneousOpen,
                         testing::Combine(testing::Bool(), testing::Bool()), [](const auto& row) {
                           return std::string(std::get<0>(row.param) ? "Learned" : "Set") +
                                  (std::get<1>(row.param) ? "Ipv6" : "Ipv4");
                         });

}  // namespace
}  // namespace synproxy::test
