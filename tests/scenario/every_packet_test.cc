// SPDX-License-Identifier: BSD-3-Clause
// Every packet that TCP can bring: IP options and extension headers, options that a splice cannot
// carry, URG, ECN, jumbo segments. ICMP, RST, SYN on a live flow and wraps have files of their own.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// `in` as it must come out: the same, except for what the splice translates. `tcp`: where TCP
// begins.
void expect_only_numbers_changed(const Bytes& in, const Bytes& out, std::size_t tcp,
                                 bool to_server) {
  ASSERT_EQ(out.size(), in.size());
  const std::size_t number = tcp + (to_server ? 8U : 4U);   // ack, or seq
  const std::size_t stamp = tcp + (to_server ? 28U : 24U);  // TSecr, or TSval, behind two NOPs
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool translated = (i >= number && i < number + 4) || (i >= stamp && i < stamp + 4) ||
                            i == tcp + 16 || i == tcp + 17;
    if (!translated) {
      EXPECT_EQ(out[i], in[i]) << "byte " << i - tcp << " of TCP";
    }
  }
}

using Headers = void (*)(PacketBuilder&);

// A whole connection in which every packet of both ends has these headers before TCP.
void connect_with(bool ipv6, Headers add, std::size_t added) {
  ProxyHarness p;
  Session c(p, {.ipv6 = ipv6});
  const std::size_t ip = ipv6 ? 40 : 20;
  PacketBuilder syn;
  syn.ip(c.o.client, c.o.server)
      .seq(c.o.client_isn)
      .flags(kSyn)
      .mss(1400)
      .timestamps(c.o.client_ts, 0);
  add(syn);
  EXPECT_EQ(p.from_client(syn.build()), Verdict::kReply);
  const DecodedFrame syn_ack = p.take_client();
  EXPECT_EQ(syn_ack.ip_header, ip) << "not reflected";
  EXPECT_EQ(syn_ack.ack, c.o.client_isn + 1);
  c.cookie = syn_ack.seq;
  c.our_tsval = syn_ack.tsval();
  PacketBuilder ack = c.client();
  add(ack);
  EXPECT_EQ(p.from_client(ack.build()), Verdict::kDrop);
  const DecodedFrame to_server = p.take_server();
  EXPECT_EQ(to_server.ip_header, ip) << "our own SYN";
  EXPECT_EQ(to_server.mss, 1400);
  PacketBuilder early = c.client(kAck | kPsh);
  add(early);
  EXPECT_EQ(p.from_client(early.payload("early").build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  PacketBuilder answer = c.server(kSyn | kAck);
  add(answer);
  EXPECT_EQ(p.from_server(answer.seq(c.o.server_isn).build()), Verdict::kReply);
  EXPECT_EQ(p.take_server().ip_header, ip);
  const DecodedFrame released = p.take_server();
  EXPECT_EQ(released.ip_header, ip + added) << "the client's own packet, as it was";
  EXPECT_EQ(released.text(), "early");
  c.client_nxt += 5;
  for (const bool from_client : {true, false}) {
    PacketBuilder b = from_client ? c.client() : c.server();
    add(b);
    const Bytes in = b.payload("data").build();
    EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, in), Verdict::kForward);
    const Bytes out = p.take_raw(from_client ? Role::kServer : Role::kClient);
    expect_only_numbers_changed(in, out, 14 + ip + added, from_client);
  }
  EXPECT_EQ(p.count(Reason::bad_ip_header), 0U);
}

TEST(EveryPacket, Ipv6ExtensionHeadersAreWalkedAndPassed) {
  connect_with(
      true, [](PacketBuilder& b) { b.extension(0); }, 8);
  connect_with(
      true, [](PacketBuilder& b) { b.extension(60, Bytes(30, 0)); }, 32);
  connect_with(
      true,
      [](PacketBuilder& b) {
        b.extension(43, {4, 0, 0, 0, 0, 0});
      },
      8);
  connect_with(
      true,
      [](PacketBuilder& b) {
        b.extension(0, Bytes(14)).extension(60).extension(43, {0, 0}).extension(60, Bytes(70));
      },
      16 + 8 + 8 + 72);
}

TEST(EveryPacket, Ipv4OptionsPassAndAreNotReflected) {
  connect_with(
      false, [](PacketBuilder& b) { b.ip_options({1}); }, 4);
  connect_with(
      false,
      [](PacketBuilder& b) {
        b.ip_options({7, 7, 4, 0, 0, 0, 0, 0});
      },
      8);  // record route
  connect_with(
      false,
      [](PacketBuilder& b) {
        b.ip_options({148, 4, 0, 0});
      },
      4);  // router alert
  connect_with(
      false, [](PacketBuilder& b) { b.ip_options(Bytes(40, 1)); }, 40);
}

TEST(EveryPacket, UrgentDataPassesUntouched) {
  for (const bool ipv6 : {false, true}) {
    for (const std::uint16_t pointer :
         {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{5}, std::uint16_t{0xffff}}) {
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6});
      c.syn();
      c.ack();
      EXPECT_EQ(p.from_client(c.client(kAck | kUrg).urgent(pointer).payload("urgent").build()),
                Verdict::kDrop);
      EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
      EXPECT_EQ(p.take_server().urgent, 0) << "our own ACK has none";
      const DecodedFrame held = p.take_server();
      EXPECT_EQ(held.flags, kAck | kUrg);
      EXPECT_EQ(held.urgent, pointer);
      c.client_nxt += 6;
      for (const bool from_client : {true, false}) {
        PacketBuilder b = from_client ? c.client(kAck | kUrg | kPsh) : c.server(kAck | kUrg | kPsh);
        const Bytes in = b.urgent(pointer).payload("urgent").build();
        EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, in), Verdict::kForward);
        const Bytes out = p.take_raw(from_client ? Role::kServer : Role::kClient);
        expect_only_numbers_changed(in, out, 14 + (ipv6 ? 40U : 20U), from_client);
      }
    }
  }
}

// Fast Open: the SYN-ACK grants no cookie and acknowledges only the SYN. So the client sends its
// data again, as to a server without Fast Open (RFC 7413 section 4.2).
TEST(EveryPacket, DataOnASynIsNotTakenAndFastOpenFallsBack) {
  for (const Bytes& option :
       {Bytes{34, 2}, Bytes{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}, Bytes{254, 4, 0xf9, 0x89}}) {
    ProxyHarness p;
    Session c(p, {.sack = false, .client_scale = {}});
    PacketBuilder syn;
    syn.seq(c.o.client_isn).flags(kSyn).mss(1460).timestamps(c.o.client_ts, 0).option(option);
    EXPECT_EQ(p.from_client(syn.payload("GET /").build()), Verdict::kReply);
    const DecodedFrame f = p.take_client();
    EXPECT_EQ(f.ack, c.o.client_isn + 1) << "none of the data";
    EXPECT_EQ(f.options.size(), 16U) << "MSS and timestamps, nothing else";
    EXPECT_EQ(p.flows(), 0U);
    c.cookie = f.seq;
    c.our_tsval = f.tsval();
    EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    const DecodedFrame to_server = p.take_server();
    EXPECT_TRUE(to_server.payload.empty());
    EXPECT_EQ(to_server.options.size(), 16U);
    EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("GET /").build()), Verdict::kDrop);
    c.syn_ack();
    EXPECT_EQ(p.take_server().text(), "GET /") << "once";
    p.expect_quiet();
  }
}

// RFC 8684 section 3.1: without MP_CAPABLE in the SYN-ACK the connection is plain TCP.
TEST(EveryPacket, MultipathOptionIsStripped) {
  ProxyHarness p;
  Session c(p, {.sack = false});
  PacketBuilder syn;
  syn.seq(c.o.client_isn).flags(kSyn).mss(1460).timestamps(c.o.client_ts, 0).window_scale(7);
  EXPECT_EQ(p.from_client(syn.option({30, 4, 1, 1}).build()), Verdict::kReply);
  const DecodedFrame f = p.take_client();
  EXPECT_EQ(f.options.size(), 20U) << "MSS, timestamps and scale";
  c.cookie = f.seq;
  c.our_tsval = f.tsval();
  EXPECT_EQ(c.ack().options.size(), 20U);
  c.syn_ack();
  c.client_sends("plain");
  c.server_sends("TCP");
}

TEST(EveryPacket, EcnWorksFromEndToEnd) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .ecn = true});
    const DecodedFrame syn_ack = c.syn();
    EXPECT_EQ(syn_ack.flags, kSyn | kAck | kEce);
    EXPECT_EQ(syn_ack.traffic_class & 3, 0) << "no ECT on a SYN-ACK (RFC 3168 section 6.1.1)";
    EXPECT_EQ(c.ack().flags, kSyn | kEce | kCwr);
    c.syn_ack();
    const auto pass = [&](bool from_client, std::uint16_t flags, std::uint8_t ecn) {
      PacketBuilder b = from_client ? c.client(flags) : c.server(flags);
      EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer,
                       b.traffic_class(ecn).payload("x").build()),
                Verdict::kForward);
      const DecodedFrame f = from_client ? p.take_server() : p.take_client();
      EXPECT_EQ(f.traffic_class, ecn);
      EXPECT_EQ(f.flags, flags);
    };
    for (const bool sender : {true, false}) {
      pass(sender, kAck, 2);          // ECT(0)
      pass(sender, kAck, 3);          // a router marks it
      pass(!sender, kAck | kEce, 0);  // the receiver says so, until
      pass(!sender, kAck | kEce, 2);
      pass(sender, kAck | kCwr | kPsh, 2);  // the sender has slowed down
      pass(sender, kAck, 1);                // ECT(1)
    }
    EXPECT_EQ(p.count(Reason::ce_without_ecn), 0U);
  }
}

TEST(EveryPacket, JumboSegmentsPass) {
  // The largest frame has 65,535 bytes. An IPv4 packet could be 14 bytes longer, but no Ethernet
  // carries it.
  for (const bool ipv6 : {false, true}) {
    const std::size_t headers = (ipv6 ? 40U : 20U) + 20 + 12;
    for (const std::size_t frame :
         {std::size_t{1514}, std::size_t{9014}, std::size_t{16'014}, std::size_t{65'535}}) {
      SCOPED_TRACE(frame);
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6, .mss = 65'000});
      c.syn();
      EXPECT_EQ(c.ack().mss, 65'000);
      c.syn_ack();
      const std::string data(frame - 14 - headers, 'j');
      for (int i = 0; i < 3; ++i) {
        c.client_sends(data);
        c.server_sends(data);
      }
      c.close();
      EXPECT_EQ(p.count(Reason::conn_finished), 1U);
    }
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.open();
    EXPECT_EQ(p.from_client(c.client().payload(std::string(65'536 - 14 - headers, 'j')).build()),
              Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::bad_ip_header), 1U) << "refused, not cut";
  }
}

TEST(EveryPacket, JumboSegmentsAreHeldEarly) {
  for (const bool ipv6 : {false, true}) {
    HarnessOptions h;
    h.engine.tuning.early_window = 65'535;
    ProxyHarness p(h);
    Session c(p, {.ipv6 = ipv6});
    c.syn();
    c.ack();
    const std::string data(8'948 - (ipv6 ? 20U : 0U), 'j');
    for (int i = 0; i < 7; ++i) {
      EXPECT_EQ(p.from_client(c.client().payload(data).build()), Verdict::kDrop);
      c.client_nxt += static_cast<std::uint32_t>(data.size());
    }
    EXPECT_EQ(p.count(Reason::early_held), 7U);
    c.client_nxt = c.o.client_isn + 1;
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    (void)p.take_server();
    for (int i = 0; i < 7; ++i) {
      const DecodedFrame f = p.take_server();
      EXPECT_EQ(f.seq, c.client_nxt);
      EXPECT_EQ(f.text(), data);
      c.client_nxt += static_cast<std::uint32_t>(data.size());
    }
    EXPECT_EQ(p.early_buffers(), 0U);
  }
}

}  // namespace
}  // namespace synproxy
