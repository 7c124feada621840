// SPDX-License-Identifier: BSD-3-Clause
// From the SYN to the splice, with every packet lost, doubled, late or wrong.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

struct Shape {
  const char* sentence;
  SessionOptions o;
};

// Both families, both cookie layouts, every kind of tag.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {true, false}) {
      all.push_back({"plain", {.ipv6 = ipv6, .timestamps = timestamps}});
      all.push_back(
          {"802.1Q", {.ipv6 = ipv6, .tags = {{0x6005, 0x8100}}, .timestamps = timestamps}});
      all.push_back(
          {"QinQ",
           {.ipv6 = ipv6, .tags = {{0x0005, 0x88a8}, {0x0006, 0x8100}}, .timestamps = timestamps}});
    }
    all.push_back({"no SACK", {.ipv6 = ipv6, .sack = false}});
    all.push_back({"no scaling", {.ipv6 = ipv6, .client_scale = std::nullopt}});
    all.push_back({"ECN", {.ipv6 = ipv6, .ecn = true}});
    all.push_back(
        {"nothing but MSS",
         {.ipv6 = ipv6, .timestamps = false, .sack = false, .client_scale = std::nullopt}});
    all.push_back({"no option at all",
                   {.ipv6 = ipv6,
                    .timestamps = false,
                    .sack = false,
                    .client_scale = std::nullopt,
                    .mss = 0}});
    all.push_back({"numbers about to wrap",
                   {.ipv6 = ipv6,
                    .client_isn = 0xffffffff,
                    .server_isn = 0xfffffffe,
                    .client_ts = 0xffffffff,
                    .server_ts = 0xfffffff0}});
    all.push_back(
        {"numbers about to wrap, no timestamps",
         {.ipv6 = ipv6, .client_isn = 0xfffffff0, .server_isn = 0xfffffff0, .timestamps = false}});
  }
  return all;
}

TEST(Handshake, WholeConnectionsOfEveryShape) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(std::string(shape.sentence) + (shape.o.ipv6 ? " IPv6" : " IPv4") +
                 (shape.o.timestamps ? " with" : " without") + " timestamps");
    ProxyHarness p;
    Session c(p, shape.o);
    const SessionOptions& o = shape.o;

    const DecodedFrame syn_ack = c.syn();
    EXPECT_EQ(syn_ack.source_mac, kServerMac);
    EXPECT_EQ(syn_ack.destination_mac, kClientMac);
    EXPECT_EQ(syn_ack.tags, o.tags);
    EXPECT_EQ(syn_ack.source_port, 80);
    EXPECT_EQ(syn_ack.mss, o.ipv6 ? 1440 : 1460);
    EXPECT_EQ(syn_ack.sack_permitted, o.sack);
    EXPECT_EQ(syn_ack.window_scale.has_value(), o.client_scale.has_value());
    EXPECT_EQ(syn_ack.window_scale.value_or(7), 7);
    EXPECT_EQ(syn_ack.flags, kSyn | kAck | (o.ecn ? kEce : 0));
    EXPECT_EQ(syn_ack.window, 14600);
    EXPECT_TRUE(syn_ack.payload.empty());
    EXPECT_EQ(p.flows(), 0U) << "a SYN makes no state";

    const DecodedFrame syn = c.ack();
    EXPECT_EQ(syn.source_mac, kClientMac);
    EXPECT_EQ(syn.destination_mac, kServerMac);
    EXPECT_EQ(syn.tags, o.tags);
    EXPECT_EQ(syn.source, parse_address(c.o.client));
    EXPECT_EQ(syn.ack, 0U);
    EXPECT_EQ(syn.flags, kSyn | (o.ecn ? kEce | kCwr : 0));
    EXPECT_EQ(syn.mss, o.mss != 0 ? 1460 : (o.ipv6 ? 1220 : 536));
    EXPECT_EQ(syn.sack_permitted, o.sack);
    EXPECT_EQ(syn.window_scale, o.client_scale);
    EXPECT_EQ(syn.timestamps.size(), o.timestamps ? 1U : 0U);
    if (o.timestamps) {
      EXPECT_EQ(syn.tsval(), o.client_ts) << "the client's own, untouched (RFC 6191)";
      EXPECT_EQ(syn.tsecr(), 0U);
    }
    EXPECT_EQ(p.flows(), 1U);
    EXPECT_EQ(p.counters().flows_embryonic.get(), 1U);

    const DecodedFrame ack = c.syn_ack();
    if (o.timestamps) {
      EXPECT_EQ(ack.tsval(), o.client_ts);
      EXPECT_EQ(ack.tsecr(), o.server_ts) << "in the server's own numbers, not translated";
    }
    p.expect_quiet();
    EXPECT_EQ(p.counters().flows_embryonic.get(), 0U);
    EXPECT_EQ(p.counters().flows_established.get(), 1U);

    c.client_ts += 10;
    const DecodedFrame request = c.client_sends("GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(request.ttl, 57) << "a translated packet keeps what it came with";
    EXPECT_EQ(request.tags, o.tags);
    if (o.timestamps) {
      EXPECT_EQ(request.tsval(), c.client_ts);
      EXPECT_EQ(request.tsecr(), o.server_ts);
    }
    c.server_ts += 20;
    const DecodedFrame answer = c.server_sends("HTTP/1.0 200 OK\r\n\r\nhello");
    if (o.timestamps) {
      EXPECT_EQ(answer.tsval(), c.our_tsval + 20);
      EXPECT_EQ(answer.tsecr(), c.client_ts);
    }
    c.client_sends("", kAck);
    c.close();
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
    EXPECT_EQ(p.count(Reason::conn_established), 1U);
    p.expect_quiet();
    p.expect_empty_after(70'000);
    p.expect_quiet();
  }
}

TEST(Handshake, SynAckInheritsNothingButDscpAndFlowLabelFromTheSyn) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    PacketBuilder b;
    b.ip(ipv6 ? "2001:db8:1::7" : "198.51.100.7", ipv6 ? "2001:db8::10" : "203.0.113.10");
    b.seq(77).flags(kSyn).mss(1400).traffic_class(0xff).flow_label(0xabcde).ttl(1).ip_id(0xbeef);
    b.urgent(0x1234).payload("data on a SYN is ignored").ack(0xdeadbeef).flags(kSyn | kPsh);
    if (ipv6) {
      b.extension(0).extension(60);
    } else {
      b.ip_options({7, 7, 4, 1, 2, 3, 4, 0});
    }
    EXPECT_EQ(p.from_client(b.build()), Verdict::kReply);
    const DecodedFrame f = p.take_client();
    EXPECT_EQ(f.ttl, 64);
    EXPECT_EQ(f.traffic_class, 0xfc) << "DSCP without ECN";
    EXPECT_EQ(f.flow_label, ipv6 ? 0xabcdeU : 0U);
    EXPECT_EQ(f.ip_header, ipv6 ? 40U : 20U);
    if (!ipv6) {
      EXPECT_EQ(f.fragment, 0x4000) << "DF";
      EXPECT_NE(f.ip_id, 0xbeef);
    }
    EXPECT_EQ(f.urgent, 0);
    EXPECT_EQ(f.flags, kSyn | kAck);
    EXPECT_EQ(f.ack, 78U) << "the SYN's data is not acknowledged";
    EXPECT_TRUE(f.payload.empty());
    EXPECT_EQ(f.trailing, 0U);
    EXPECT_FALSE(f.sack_permitted);
    EXPECT_FALSE(f.window_scale.has_value());
    EXPECT_TRUE(f.timestamps.empty());
  }
}

TEST(Handshake, AccEcnSynIsNeitherJunkNorReflected) {
  ProxyHarness p;
  PacketBuilder b;
  b.seq(5).flags(kSyn | kAe | kCwr | kEce).mss(1460).timestamps(1, 0);
  EXPECT_EQ(p.from_client(b.build()), Verdict::kReply);
  const DecodedFrame f = p.take_client();
  EXPECT_EQ(f.flags & (kAe | kCwr), 0) << "RFC 9768: classic ECN at most";
}

TEST(Handshake, EceAloneOnASynIsNoOfferOfEcn) {
  ProxyHarness p;
  EXPECT_EQ(p.from_client(PacketBuilder().seq(5).flags(kSyn | kEce).timestamps(1, 0).build()),
            Verdict::kReply);
  EXPECT_EQ(p.take_client().flags, kSyn | kAck);
}

TEST(Handshake, LostSynAckIsAnsweredAlikeWhenTheSynComesAgain) {
  ProxyHarness p;
  Session c(p);
  const DecodedFrame first = c.syn();
  p.advance(1000);
  const DecodedFrame again = c.syn();
  EXPECT_EQ(first.raw, again.raw) << "idempotent within an epoch";
  c.ack();
  c.syn_ack();
  c.client_sends("x");
}

TEST(Handshake, SynAcksOfTwoWorkersAreTheSame) {
  ProxyHarness a;
  ProxyHarness b;
  Session in_a(a);
  Session in_b(b);
  EXPECT_EQ(in_a.syn().raw, in_b.syn().raw);
}

TEST(Handshake, AckWithDataOpensTheConnectionWhenTheBareAckWasLost) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  PacketBuilder request = c.client(kAck | kPsh);
  request.payload("GET /");
  // The numbers and timestamps are those of the bare ACK.
  c.server_nxt = c.o.server_isn + 1;
  EXPECT_EQ(p.from_client(request.build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  const DecodedFrame data = p.take_server();
  EXPECT_EQ(data.text(), "GET /");
  EXPECT_EQ(data.seq, c.o.client_isn + 1);
  EXPECT_EQ(data.ack, c.o.server_isn + 1);
  EXPECT_EQ(data.tsecr(), c.server_first_ts);
  p.expect_quiet();
}

TEST(Handshake, AckWithFinOpensTheConnection) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  EXPECT_EQ(p.from_client(c.client(kAck | kFin).payload("bye").build()), Verdict::kDrop);
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  const DecodedFrame fin = p.take_server();
  EXPECT_EQ(fin.flags, kAck | kFin);
  EXPECT_EQ(fin.text(), "bye");
  c.client_nxt += 4;
  c.server_sends("", kAck | kFin);
  c.client_sends("", kAck);
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

TEST(Handshake, KeepaliveOrZeroWindowProbeIsTakenForTheCookieAckThatItIs) {
  for (const bool timestamps : {true, false}) {
    for (const char* byte : {"", "G"}) {
      ProxyHarness p;
      Session c(p, {.timestamps = timestamps});
      c.syn();
      PacketBuilder probe = c.client();
      probe.seq(c.o.client_isn).payload(byte);
      EXPECT_EQ(p.from_client(probe.build()), Verdict::kDrop);
      EXPECT_EQ(p.count(Reason::cookie_valid), 1U);
      EXPECT_EQ(p.take_server().seq, c.o.client_isn);
      c.syn_ack();
      c.client_sends("GET");
    }
  }
}

TEST(Handshake, LongerSegmentAtTheIsnIsNoProbe) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  EXPECT_EQ(p.from_client(c.client().seq(c.o.client_isn).payload("GE").build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  p.expect_quiet();
}

TEST(Handshake, SameAckAgainWhileTheServerIsSilentOpensNothing) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::cookie_retrans), 3U);
  EXPECT_EQ(p.flows(), 1U);
  p.expect_quiet();
}

TEST(Handshake, AckThatDoesNotFitIsDroppedWhileTheServerIsSilent) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_client(c.client().ack(c.cookie + 2).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::ack_unfit), 1U);
  p.expect_quiet();
}

TEST(Handshake, OurSynIsRepeatedAtDoublingIntervalsThenEverySecond) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  const DecodedFrame first = c.ack();
  const std::uint64_t start = p.now();
  std::vector<std::uint64_t> at;
  while (p.now() < start + 9'000) {
    p.advance(1);
    while (!p.to_server.empty()) {
      EXPECT_EQ(p.take_server().raw, first.raw) << "the same SYN, TSval included";
      at.push_back(p.now() - start);
    }
  }
  EXPECT_EQ(at,
            (std::vector<std::uint64_t>{200, 600, 1400, 2400, 3400, 4400, 5400, 6400, 7400, 8400}));
  EXPECT_EQ(p.count(Reason::syn_to_server_retrans), 10U);
  EXPECT_EQ(p.count(Reason::syn_to_server), 11U);
  c.syn_ack();
  c.client_sends("at last");
  EXPECT_EQ(p.count(Reason::conn_timed_out), 0U);
}

// A server whose accept queue is full drops SYNs. Direct, the client is served once there is room.
TEST(Handshake, ServerWithAFullAcceptQueueIsAskedEverySecondUntilItAnswers) {
  for (const std::uint64_t full_for : {8'000U, 14'000U, 60'000U, 131'000U}) {
    for (const bool timestamps : {false, true}) {
      HarnessOptions h;
      h.engine.tuning.server_timeout_ms = EngineTuning{}.server_timeout_ms;
      ProxyHarness p(h);
      Session c(p, {.ipv6 = full_for == 14'000, .timestamps = timestamps});
      c.syn();
      c.ack();
      EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("GET").build()), Verdict::kDrop);
      p.advance(full_for);
      EXPECT_TRUE(p.to_client.empty()) << "nobody is turned away";
      p.to_server.clear();
      p.advance(1'000);
      EXPECT_EQ(p.take_server().flags, kSyn) << "the room is noticed within a second";
      c.syn_ack();
      EXPECT_EQ(p.take_server().text(), "GET");
      p.expect_quiet();
    }
  }
}

TEST(Handshake, AskingEndsWithTheServerTimeout) {
  HarnessOptions h;
  h.engine.tuning.server_timeout_ms = EngineTuning{}.server_timeout_ms;
  ProxyHarness p(h);
  Session c(p);
  c.syn();
  c.ack();
  p.advance(149'000);
  EXPECT_TRUE(p.to_client.empty());
  p.advance(3'000);
  EXPECT_TRUE(p.take_client().has(kRst));
  p.to_server.clear();
  p.advance(5'000);
  p.expect_quiet();
}

// More flows wait than a queue of the first repeats holds.
TEST(Handshake, EveryWaitingFlowGoesOnAsking) {
  HarnessOptions h;
  h.engine.shape.max_flows = 64;
  ProxyHarness p(h);
  std::vector<std::unique_ptr<Session>> waiting;
  for (std::uint16_t i = 0; i < 64; ++i) {
    waiting.push_back(std::make_unique<Session>(
        p, SessionOptions{.client_port = static_cast<std::uint16_t>(20'000 + i)}));
    waiting.back()->syn();
    waiting.back()->ack();
  }
  for (int second = 0; second < 9; ++second) {
    p.to_server.clear();
    p.advance(1'000);
    EXPECT_GE(p.to_server.size(), 64U) << second;
  }
}

TEST(Handshake, LostSynToTheServerCostsOneRepeat) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();  // lost
  p.advance(200);
  EXPECT_EQ(p.take_server().flags, kSyn);
  c.syn_ack();
  c.client_sends("x");
  p.advance(5'000);
  p.expect_quiet();
}

TEST(Handshake, DeadServerEndsInResetsAndATombstone) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .tags = {{7, 0x8100}}});
    c.syn();
    c.ack();
    p.advance(9'900);
    p.to_server.clear();
    EXPECT_TRUE(p.to_client.empty()) << "the client is not told before the time is over";
    p.advance(2'000);
    const DecodedFrame to_client = p.take_client();
    EXPECT_TRUE(to_client.has(kRst));
    EXPECT_EQ(to_client.seq, c.cookie + 1) << "the number that the client accepts";
    EXPECT_EQ(to_client.tags, c.o.tags);
    EXPECT_EQ(to_client.destination_mac, kClientMac);
    const DecodedFrame to_server = p.take_server();
    EXPECT_TRUE(to_server.has(kRst));
    EXPECT_EQ(to_server.seq, c.o.client_isn + 1);
    EXPECT_EQ(to_server.destination_mac, kServerMac);
    p.expect_quiet();
    EXPECT_EQ(p.count(Reason::conn_timed_out), 1U);

    // The SYN-ACK comes after all: the server must not keep a half-open connection.
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    const DecodedFrame late = p.take_server();
    EXPECT_EQ(late.flags, kRst);
    EXPECT_EQ(late.seq, c.o.client_isn + 1);
    EXPECT_EQ(p.count(Reason::synack_stale), 1U);
    p.expect_empty_after(70'000);
    // Also after the tombstone is gone.
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().flags, kRst);
  }
}

TEST(Handshake, ClientThatResetsBeforeTheServerAnsweredLeavesNothingHalfOpen) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_client(c.client(kRst).build()), Verdict::kDrop);
  const DecodedFrame rst = p.take_server();
  EXPECT_TRUE(rst.has(kRst));
  EXPECT_EQ(rst.seq, c.o.client_isn + 1);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::conn_aborted), 1U);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kRst);
  p.advance(15'000);
  p.expect_quiet();
}

TEST(Handshake, ForeignResetInHandshakeIsIgnored) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_client(c.client(kRst).seq(c.client_nxt + 0x10000).build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(c.client(kRst).seq(c.o.client_isn - 5).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::rst_out_of_window), 2U);
  EXPECT_EQ(p.from_client(c.client(kRst).break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  c.syn_ack();
}

TEST(Handshake, RefusalReachesTheClientAtOnce) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  PacketBuilder refused = c.server(kRst | kAck);
  refused.seq(0).ack(c.o.client_isn + 1);
  EXPECT_EQ(p.from_server(refused.build()), Verdict::kDrop);
  const DecodedFrame rst = p.take_client();
  EXPECT_TRUE(rst.has(kRst));
  EXPECT_EQ(rst.seq, c.cookie + 1);
  EXPECT_EQ(rst.ack, c.o.client_isn + 1);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::conn_refused), 1U);
  p.advance(3'000);
  p.expect_quiet();
  EXPECT_EQ(p.counters().flows_embryonic.get(), 0U);
  // The client may try again with the same ports.
  Session again(p, {.client_isn = 2'000'000});
  again.open();
}

TEST(Handshake, ResetThatDoesNotAnswerOurSynIsIgnored) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_server(c.server(kRst | kAck).ack(c.o.client_isn).flags(kRst | kAck).build()),
            Verdict::kDrop);
  EXPECT_EQ(p.from_server(c.server(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::server_rst_ignored), 2U);
  PacketBuilder broken = c.server(kRst | kAck);
  EXPECT_EQ(p.from_server(broken.break_l4_checksum().build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  p.expect_quiet();
  c.syn_ack();
}

TEST(Handshake, ChallengeAckOfAnOldConnectionIsResetAndTheSynSentAgain) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  const DecodedFrame syn = c.ack();
  // The server still has a connection that has ended for the others.
  PacketBuilder challenge = c.server(kAck);
  challenge.seq(0x12345678).ack(0x9abcdef0);
  EXPECT_EQ(p.from_server(challenge.build()), Verdict::kReply);
  const DecodedFrame rst = p.take_server();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, 0x9abcdef0U) << "RFC 9293 section 3.10.7.3: its ack as our sequence number";
  EXPECT_EQ(p.take_server().raw, syn.raw);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::challenge_ack), 1U);
  c.syn_ack();
  c.client_sends("x");
}

// RFC 9293 section 3.10.7.3, fifth step. A RST with this number would kill the connection that the
// server just accepted.
TEST(Handshake, AckOfOurSynWithoutASynIsNoChallenge) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_server(c.server(kAck).build()), Verdict::kDrop);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::challenge_ack), 0U);
  c.syn_ack();
  c.client_sends("x");
}

TEST(Handshake, SynAckWithAWrongAckIsNoSplice) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  PacketBuilder wrong = c.server(kSyn | kAck);
  wrong.seq(c.o.server_isn).ack(c.o.client_isn + 2);
  p.from_server(wrong.flags(kSyn | kAck).build());
  EXPECT_EQ(p.count(Reason::conn_established), 0U);
  p.to_server.clear();
  PacketBuilder corrupt = c.server(kSyn | kAck);
  corrupt.seq(c.o.server_isn).break_l4_checksum();
  p.from_server(corrupt.build());
  EXPECT_EQ(p.count(Reason::conn_established), 0U);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  c.syn_ack();
}

TEST(Handshake, LostAckToTheServerIsSentAgainForEachSynAck) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  const DecodedFrame ack = c.syn_ack();  // lost
  p.advance(50);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().raw, ack.raw);
  }
  EXPECT_TRUE(p.to_client.empty()) << "the server's SYN-ACK is not for the client";
  EXPECT_EQ(p.count(Reason::ack_to_server), 4U);
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
  c.client_sends("x");
}

// Found by the simulator: the flow of such a connection passed everything untranslated.
TEST(Handshake, DamagedSynAckThatLooksLikeASynIsNoConnectionOfTheServer) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session c(p);
  Bytes frame = c.syn_ack_frame();
  frame[14 + 20 + 13] ^= kAck;
  EXPECT_EQ(p.from_server(frame), Verdict::kDrop);
  EXPECT_EQ(p.flows(), 0U);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
}

// Found by the simulator: the answer would quote damaged numbers under a good checksum.
TEST(Handshake, DamagedSegmentsAreNotAnswered) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session c(p);
  c.syn();
  c.ack();
  const auto damaged = [](Bytes frame) {
    frame.back() ^= 1U;  // the last option's
    return frame;
  };
  Session stranger(p, {.client_port = 41'000});
  EXPECT_EQ(p.from_server(damaged(stranger.syn_ack_frame())), Verdict::kDrop) << "nobody asked";
  c.syn_ack();
  EXPECT_EQ(p.from_server(damaged(c.syn_ack_frame())), Verdict::kDrop) << "repeated";
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::bad_checksum), 2U);
}

TEST(Handshake, SynAckAgainAfterTheClientSpokeIsAcknowledgedToo) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("GET /");  // and this was lost as well
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  const DecodedFrame ack = p.take_server();
  EXPECT_EQ(ack.flags, kAck);
  EXPECT_EQ(ack.ack, c.o.server_isn + 1);
  EXPECT_EQ(ack.tsecr(), c.server_first_ts);
  p.expect_quiet();
}

// Found by the simulator: the client's first window was lost, and the ACK showed garbage.
TEST(Handshake, LateCopyOfTheSynAckIsNotAnsweredOnceTheServerHasSpoken) {
  for (const bool data : {true, false}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    if (data) {
      c.server_sends("220 ready");
    } else {
      c.client_sends("GET /");
      c.server_sends("", kAck);
    }
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kDrop);
    p.expect_quiet();
  }
}

TEST(Handshake, AckOfARepeatedSynAckKeepsTheClientsWindowAfterABareAckOfTheServer) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.server_sends("", kAck);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().window, c.o.client_window);
}

// A server in its own cookie mode never repeats its SYN-ACK.
TEST(Handshake, AckIsRepeatedOnceWhenNobodySpeaks) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  const DecodedFrame ack = c.syn_ack();
  p.advance(199);
  p.expect_quiet();
  p.advance(2);
  const DecodedFrame again = p.take_server();
  EXPECT_EQ(again.raw, ack.raw);
  p.advance(5'000);
  p.expect_quiet();
}

TEST(Handshake, AckIsNotRepeatedWhenASideHasSpoken) {
  for (const bool server : {false, true}) {
    ProxyHarness p;
    Session c(p);
    c.open();
    server ? c.server_sends("220 hello") : c.client_sends("GET");
    p.advance(1'000);
    p.expect_quiet();
  }
}

// Segments that the proxy makes carry the TSval of the packet that opened the flow; otherwise PAWS
// drops what the client sent in the meantime.
TEST(Handshake, GeneratedSegmentsCarryTheTsvalThatOpenedTheFlow) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.client_ts = c.o.client_ts + 3;
  EXPECT_EQ(c.ack().tsval(), c.o.client_ts + 3);
  c.client_ts += 500;
  EXPECT_EQ(p.from_client(c.client(kAck | kPsh).payload("late data").build()), Verdict::kDrop);
  p.advance(200);
  EXPECT_EQ(p.take_server().tsval(), c.o.client_ts + 3);
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().tsval(), c.o.client_ts + 3);
  EXPECT_EQ(p.take_server().tsval(), c.client_ts) << "the client's own data has its own";
}

TEST(Handshake, SpeakingFirstServerIsHeardAtOnce) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const DecodedFrame hello = c.server_sends("220 ready");
  EXPECT_EQ(hello.seq, c.cookie + 1);
}

TEST(Handshake, OurSynCarriesTheWindowUnscaled) {
  struct Row {
    const char* sentence;
    std::optional<std::uint8_t> scale;
    std::uint16_t window;
    std::uint16_t expected;
  };
  for (const Row& row : {Row{"no scaling", std::nullopt, 502, 502}, Row{"scale 0", 0, 502, 502},
                         Row{"scaled below 64 KB", 7, 502, 64256}, Row{"above", 7, 5000, 65535},
                         Row{"scale 14", 14, 65535, 65535}, Row{"closed", 7, 0, 0}}) {
    SCOPED_TRACE(row.sentence);
    ProxyHarness p;
    Session c(p, {.client_scale = row.scale, .client_window = row.window});
    c.syn();
    EXPECT_EQ(c.ack().window, row.expected);
  }
}

// The server is told the client's MSS or a little less, so it sends nothing too long.
TEST(Handshake, ClientsWithALowMssAreServed) {
  for (const bool ipv6 : {false, true}) {
    for (const auto& [mss, told] : {std::pair{1, 1},
                                    {20, 1},
                                    {63, 1},
                                    {64, 64},
                                    {300, 216},
                                    {459, 340},
                                    {535, 460},
                                    {536, 536}}) {
      SCOPED_TRACE(mss);
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6,
                    .timestamps = false,
                    .sack = false,
                    .client_scale = std::nullopt,
                    .mss = static_cast<std::uint16_t>(mss)});
      c.syn();
      EXPECT_EQ(c.ack().mss, told);
      c.syn_ack();
      c.client_sends("GET /");
      c.server_sends("200");
    }
    ProxyHarness p;
    Session with(p, {.ipv6 = ipv6, .timestamps = true, .mss = 48});
    with.syn();
    EXPECT_EQ(with.ack().mss, 48) << "the timestamps layout carries it exactly";
  }
}

TEST(Handshake, ALowMssWithoutTimestampsGetsNeitherScalingNorSack) {
  ProxyHarness p;
  Session c(p, {.timestamps = false, .sack = true, .client_scale = 3, .mss = 400});
  EXPECT_EQ(p.from_client(c.syn_frame()), Verdict::kReply);
  const DecodedFrame syn_ack = p.take_client();
  EXPECT_FALSE(syn_ack.window_scale);
  EXPECT_FALSE(syn_ack.sack_permitted);
  c.cookie = syn_ack.seq;
  EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
  const DecodedFrame syn = p.take_server();
  EXPECT_EQ(syn.mss, 340);
  EXPECT_FALSE(syn.window_scale);
  EXPECT_FALSE(syn.sack_permitted);
  EXPECT_EQ(syn.window, c.o.client_window);
}

// `auto`, and nobody has taught the service: no timestamps are promised yet.
TEST(Handshake, ALowMssIsServedByAnUnknownServiceToo) {
  HarnessOptions h;
  h.engine.tuning.offer = OfferConfig{};
  ProxyHarness p(h);
  const Bytes syn = PacketBuilder().flags(kSyn).seq(9).mss(400).timestamps(5, 0).build();
  EXPECT_EQ(p.from_client(syn), Verdict::kReply);
  const DecodedFrame syn_ack = p.take_client();
  EXPECT_TRUE(syn_ack.timestamps.empty());
  EXPECT_EQ(p.from_client(PacketBuilder().flags(kAck).seq(10).ack(syn_ack.seq + 1).build()),
            Verdict::kDrop);
  EXPECT_EQ(p.take_server().mss, 340);
}

TEST(Handshake, FixedOffersAreObeyed) {
  HarnessOptions h;
  h.engine.tuning.offer = {.sack = Offer::kOff,
                           .timestamps = Offer::kOff,
                           .ecn = Offer::kOff,
                           .window_scale = 3,
                           .mss = 1200};
  ProxyHarness p(h);
  Session c(p, {.ecn = true});
  EXPECT_EQ(p.from_client(c.syn_frame()), Verdict::kReply);
  const DecodedFrame f = p.take_client();
  EXPECT_EQ(f.flags, kSyn | kAck);
  EXPECT_FALSE(f.sack_permitted);
  EXPECT_TRUE(f.timestamps.empty());
  EXPECT_EQ(f.window_scale, 3);
  EXPECT_EQ(f.mss, 1200);
  // The client's ACK then has none either.
  c.cookie = f.seq;
  c.o.timestamps = false;
  EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
  const DecodedFrame syn = p.take_server();
  EXPECT_FALSE(syn.sack_permitted);
  EXPECT_TRUE(syn.timestamps.empty());
  EXPECT_EQ(syn.flags, kSyn);
}

TEST(Handshake, BufferWithoutRoomForTheReplyIsCounted) {
  ProxyHarness p;
  Session c(p);
  const Bytes bare = PacketBuilder().flags(kSyn).seq(9).build();
  p.room = static_cast<std::uint32_t>(bare.size());  // the MSS option would not fit
  EXPECT_EQ(p.from_client(bare), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_buffer_room), 1U);
  p.expect_quiet();
}

}  // namespace
}  // namespace synproxy
