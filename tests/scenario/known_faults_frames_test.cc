// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: the layers below TCP.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// Checks every IPv6 frame that came out, whoever made it.
void expect_ipv6_lengths(const ProxyHarness& p, std::size_t l2) {
  for (const auto* queue : {&p.to_client, &p.to_server}) {
    for (const Bytes& f : *queue) {
      ASSERT_GT(f.size(), l2 + 40);
      EXPECT_EQ(f[l2 + 4] * 256U + f[l2 + 5], f.size() - l2 - 40);
    }
  }
}

// Lengths whose two bytes differ: 0x0014 read the other way round would be 5,120.
TEST(KnownFault, Ipv6PayloadLengthIsInNetworkOrder) {
  for (const bool timestamps : {false, true}) {
    for (const std::size_t payload :
         {std::size_t{0}, std::size_t{1}, std::size_t{300}, std::size_t{1400}}) {
      ProxyHarness p;
      p.room = 16'384;
      Session c(p, {.ipv6 = true, .timestamps = timestamps});
      EXPECT_EQ(p.from_client(c.syn_frame()), Verdict::kReply);
      expect_ipv6_lengths(p, 14);
      const DecodedFrame syn_ack = p.take_client();
      c.cookie = syn_ack.seq;
      if (timestamps) c.our_tsval = syn_ack.tsval();
      const Bytes data(payload, 'd');
      EXPECT_EQ(p.from_client(c.client().payload(data).build()), Verdict::kDrop);
      expect_ipv6_lengths(p, 14);  // the SYN to the server
      p.advance(250);
      expect_ipv6_lengths(p, 14);  // and its repeat
      p.to_server.clear();
      EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
      expect_ipv6_lengths(p, 14);  // the ACK and what was held
      p.to_server.clear();
      c.client_nxt += static_cast<std::uint32_t>(payload);
      EXPECT_EQ(p.from_server(c.server().payload(data).build()), Verdict::kForward);
      EXPECT_EQ(p.from_client(c.client(kRst | kAck).build()), Verdict::kForward);
      expect_ipv6_lengths(p, 14);
      EXPECT_EQ(p.take_client().payload, data);
    }
  }
}

// Tags, several of them, of both kinds, and frames padded to the Ethernet minimum.
TEST(KnownFault, L2HeaderOfAnyLengthIsServed) {
  const std::vector<std::vector<VlanTag>> stacks{
      {},
      {{0, kEtherTypeVlan}},       // a priority tag
      {{0xe000, kEtherTypeVlan}},  // with a priority in it
      {{4094, kEtherTypeVlan}},
      {{100, kEtherTypeQinQ}},
      {{100, kEtherTypeQinQ}, {200, kEtherTypeVlan}},
      {{100, kEtherTypeVlan}, {200, kEtherTypeVlan}}};
  for (const bool ipv6 : {false, true}) {
    for (const auto& tags : stacks) {
      for (const bool timestamps : {false, true}) {
        SCOPED_TRACE(tags.size());
        ProxyHarness p;
        Session c(p, {.ipv6 = ipv6, .tags = tags, .timestamps = timestamps});
        EXPECT_EQ(c.syn().tags, tags);
        EXPECT_EQ(c.ack().tags, tags);
        EXPECT_EQ(p.from_client(c.client().payload("early").build()), Verdict::kDrop);
        EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
        EXPECT_EQ(p.take_server().tags, tags);
        EXPECT_EQ(p.take_server().tags, tags);
        c.client_nxt += 5;
        EXPECT_EQ(c.server_sends("yes").tags, tags);
        EXPECT_EQ(c.client_sends("no").tags, tags);
        EXPECT_EQ(p.from_client(c.client().pad_to(14 + 4 * tags.size() + 46).build()),
                  Verdict::kForward);
        const DecodedFrame padded = p.take_server();
        EXPECT_EQ(padded.tags, tags);
        EXPECT_TRUE(padded.payload.empty());
        c.close();
        EXPECT_EQ(p.count(Reason::conn_finished), 1U);
      }
    }
  }
}

// Old stacks, tunnels and routers with "clear DF" send whole packets without it.
TEST(KnownFault, PacketsWithoutDfAreServed) {
  ProxyHarness p;
  Session c(p);
  EXPECT_EQ(p.from_client(PacketBuilder()
                              .seq(c.o.client_isn)
                              .flags(kSyn)
                              .mss(1460)
                              .sack_permitted()
                              .timestamps(c.o.client_ts, 0)
                              .window_scale(7)
                              .fragment(0)
                              .ip_id(7)
                              .build()),
            Verdict::kReply);
  const DecodedFrame syn_ack = p.take_client();
  c.cookie = syn_ack.seq;
  c.our_tsval = syn_ack.tsval();
  EXPECT_EQ(p.from_client(c.client().fragment(0).ip_id(8).build()), Verdict::kDrop);
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.from_client(c.client().payload("early").fragment(0).ip_id(9).build()),
            Verdict::kDrop);
  EXPECT_EQ(
      p.from_server(c.server(kSyn | kAck).seq(c.o.server_isn).window_scale(7).fragment(0).build()),
      Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  const DecodedFrame early = p.take_server();
  EXPECT_EQ(early.text(), "early");
  EXPECT_EQ(early.fragment, 0) << "nobody sets DF in a packet of somebody else";
  EXPECT_EQ(early.ip_id, 9);
  c.client_nxt += 5;
  EXPECT_EQ(p.from_client(c.client(kAck | kFin).fragment(0).ip_id(10).build()), Verdict::kForward);
  const DecodedFrame up = p.take_server();
  EXPECT_EQ(up.fragment, 0);
  EXPECT_EQ(up.ip_id, 10);
  EXPECT_EQ(p.from_server(c.server().payload("down").fragment(0).ip_id(11).build()),
            Verdict::kForward);
  const DecodedFrame down = p.take_client();
  EXPECT_EQ(down.fragment, 0);
  EXPECT_EQ(down.ip_id, 11);
  EXPECT_EQ(p.count(Reason::fragment), 0U);
}

// A packet with any flow label is treated like the packet without one.
TEST(KnownFault, Ipv6FlowLabelIsNoLength) {
  for (const std::uint32_t label : {0U, 1U, 0x14U, 0x28U, 0x1400U, 0x00ffffU, 0x10000U, 0xfffffU}) {
    SCOPED_TRACE(label);
    ProxyHarness p;
    Session c(p, {.ipv6 = true});
    PacketBuilder syn;
    syn.ip(c.o.client, c.o.server)
        .seq(c.o.client_isn)
        .flags(kSyn)
        .mss(1440)
        .timestamps(c.o.client_ts, 0);
    EXPECT_EQ(p.from_client(syn.flow_label(label).build()), Verdict::kReply);
    expect_ipv6_lengths(p, 14);
    const DecodedFrame syn_ack = p.take_client();
    EXPECT_EQ(syn_ack.flow_label, label);
    EXPECT_EQ(syn_ack.tsecr(), c.o.client_ts);
    c.cookie = syn_ack.seq;
    c.our_tsval = syn_ack.tsval();
    EXPECT_EQ(p.from_client(c.client().flow_label(label).build()), Verdict::kDrop);
    EXPECT_EQ(p.take_server().mss, 1440);
    EXPECT_EQ(p.from_server(c.server(kSyn | kAck).seq(c.o.server_isn).flow_label(label).build()),
              Verdict::kReply);
    p.to_server.clear();
    for (const bool from_client : {true, false}) {
      PacketBuilder b = from_client ? c.client() : c.server();
      b.flow_label(label).payload("whole");
      EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, b.build()), Verdict::kForward);
      const DecodedFrame f = from_client ? p.take_server() : p.take_client();
      EXPECT_EQ(f.flow_label, label);
      EXPECT_EQ(f.text(), "whole");
    }
    EXPECT_EQ(p.count(Reason::bad_ip_header), 0U);
  }
}

}  // namespace
}  // namespace synproxy
