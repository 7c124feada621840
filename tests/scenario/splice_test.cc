// SPDX-License-Identifier: BSD-3-Clause
// Translation on a spliced connection: numbers, timestamps, SACK edges and windows change,
// everything else stays.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;
using Blocks = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

TEST(Splice, EverythingButTheNumbersStaysAsItWas) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .tags = {{0xe064, 0x88a8}, {0x2065, 0x8100}}});
    c.open();
    PacketBuilder b = c.client(kAck | kPsh | kUrg);
    b.ttl(3).traffic_class(0xb8).flow_label(0x54321).ip_id(0x4242).urgent(5).payload("hello");
    const Bytes in = b.build();
    EXPECT_EQ(p.from_client(in), Verdict::kForward);
    const Bytes out = p.take_raw(Role::kServer);
    ASSERT_EQ(out.size(), in.size());
    const std::size_t tcp = 22 + (ipv6 ? 40 : 20);
    for (std::size_t i = 0; i < in.size(); ++i) {
      const bool ack = i >= tcp + 8 && i < tcp + 12;
      const bool checksum = i == tcp + 16 || i == tcp + 17;
      const bool tsecr = i >= tcp + 28 && i < tcp + 32;
      if (!ack && !checksum && !tsecr) {
        EXPECT_EQ(out[i], in[i]) << "byte " << i;
      }
    }
  }
}

TEST(Splice, EthernetPaddingIsNoPartOfThePacket) {
  ProxyHarness p;
  Session c(p, {.timestamps = false});
  c.open();
  EXPECT_EQ(p.from_client(c.client().pad_to(60).build()), Verdict::kForward);
  EXPECT_EQ(p.take_server().seq_length(), 0U);
  c.client_sends("and the numbers go on");
}

TEST(Splice, SequenceNumbersAndTimestampsWrap) {
  ProxyHarness p;
  Session c(p, {.client_isn = 0xfffffff8,
                .server_isn = 0xfffffff0,
                .client_ts = 0xfffffffe,
                .server_ts = 0xffffffff});
  c.open();
  for (int i = 0; i < 8; ++i) {
    c.client_ts += 3;
    c.server_ts += 5;
    EXPECT_EQ(c.client_sends("twelve bytes").tsecr(), c.server_ts);
    EXPECT_EQ(c.server_sends("nine more").tsval(),
              c.our_tsval + 5U * (static_cast<unsigned>(i) + 1));
  }
  c.close();
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

TEST(Splice, EverySackEdgeIsTranslatedHoweverItStands) {
  const Blocks one{{100, 200}};
  const Blocks four{{1000, 2000}, {3000, 4000}, {5000, 6000}, {0xfffffff0, 0x00000010}};
  const Blocks three(four.begin(), four.begin() + 3);
  const Blocks dsack{{50, 60}, {40, 80}};  // RFC 2883: the first block lies inside the second
  for (const bool timestamps : {false, true}) {
    for (const unsigned nops : {0U, 1U, 2U, 3U}) {
      for (const Blocks* relative : {&one, &three, &four, &dsack}) {
        if (timestamps && (relative == &four || (relative == &three && nops > 2))) continue;
        SCOPED_TRACE(std::to_string(relative->size()) + " blocks behind " + std::to_string(nops));
        ProxyHarness p;
        Session c(p, {.server_isn = 0xfffff000, .timestamps = timestamps});
        c.open();
        Blocks in;
        Blocks expected;
        for (const auto& [left, right] : *relative) {
          in.emplace_back(c.cookie + 1 + left, c.cookie + 1 + right);
          expected.emplace_back(c.o.server_isn + 1 + left, c.o.server_isn + 1 + right);
        }
        PacketBuilder b = c.client();
        b.nop(nops);
        if (34 + nops <= 40 || in.size() < 4) b.sack(in);
        EXPECT_EQ(p.from_client(b.build()), Verdict::kForward);
        EXPECT_EQ(p.take_server().sack, expected);
      }
    }
  }
}

TEST(Splice, SackFromTheServerSpeaksOfTheClientsNumbersAndStays) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const Blocks blocks{{c.client_nxt + 100, c.client_nxt + 200}};
  EXPECT_EQ(p.from_server(c.server().nop(2).sack(blocks).build()), Verdict::kForward);
  EXPECT_EQ(p.take_client().sack, blocks);
}

TEST(Splice, TimestampsAreTranslatedWhereverTheyStandAndHoweverOften) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const auto ts = [](std::uint32_t tsval, std::uint32_t tsecr) {
    Bytes b{8, 10};
    for (const std::uint32_t v : {tsval, tsecr}) {
      for (int shift = 24; shift >= 0; shift -= 8)
        b.push_back(static_cast<std::uint8_t>(v >> shift));
    }
    return b;
  };
  for (unsigned nops = 0; nops < 4; ++nops) {
    for (unsigned copies = 1; copies <= 3; ++copies) {
      PacketBuilder to_server;
      PacketBuilder to_client;
      to_server.ports(40000, 80).seq(c.client_nxt).ack(c.cookie + 1).nop(nops);
      to_client.ip(c.o.server, c.o.client).ports(80, 40000).seq(c.server_nxt).ack(c.client_nxt);
      to_client.nop(nops);
      for (unsigned i = 0; i < copies; ++i) {
        to_server.option(ts(111 + i, c.our_tsval + i));
        to_client.option(ts(c.server_first_ts + i, 222 + i));
      }
      EXPECT_EQ(p.from_client(to_server.payload("odd").build()), Verdict::kForward);
      EXPECT_EQ(p.from_server(to_client.payload("odd").build()), Verdict::kForward);
      const DecodedFrame at_server = p.take_server();
      const DecodedFrame at_client = p.take_client();
      ASSERT_EQ(at_server.timestamps.size(), copies);
      ASSERT_EQ(at_client.timestamps.size(), copies);
      for (unsigned i = 0; i < copies; ++i) {
        EXPECT_EQ(at_server.timestamps[i], std::pair(111 + i, c.server_first_ts + i));
        EXPECT_EQ(at_client.timestamps[i], std::pair(c.our_tsval + i, 222 + i));
      }
    }
  }
}

TEST(Splice, TsecrOfZeroStaysZero) {
  ProxyHarness p;
  Session c(p);
  c.open();
  PacketBuilder aligned;
  aligned.ports(40000, 80).seq(c.client_nxt).ack(c.cookie + 1).timestamps(9, 0);
  EXPECT_EQ(p.from_client(aligned.build()), Verdict::kForward);
  EXPECT_EQ(p.take_server().tsecr(), 0U);
  PacketBuilder unaligned;
  unaligned.ports(40000, 80).seq(c.client_nxt).ack(c.cookie + 1);
  unaligned.option({8, 10, 0, 0, 0, 9, 0, 0, 0, 0}).nop(2);
  EXPECT_EQ(p.from_client(unaligned.build()), Verdict::kForward);
  EXPECT_EQ(p.take_server().tsecr(), 0U);
}

TEST(Splice, MalformedOptionsPassUntouchedAndAreCounted) {
  ProxyHarness p;
  Session c(p);
  c.open();
  const Bytes lists[] = {{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 0, 1, 1},
                         {5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 3, 1},
                         {8, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1}};
  std::uint64_t counted = 0;
  for (const Bytes& list : lists) {
    PacketBuilder to_server;
    to_server.ports(40000, 80).seq(c.client_nxt).ack(c.cookie + 1).option(list);
    EXPECT_EQ(p.from_client(to_server.build()), Verdict::kForward);
    const DecodedFrame f = p.take_server();
    EXPECT_EQ(f.options, list);
    EXPECT_EQ(f.ack, c.o.server_isn + 1) << "the header itself is translated";
    PacketBuilder to_client;
    to_client.ip(c.o.server, c.o.client).ports(80, 40000).seq(c.server_nxt).ack(c.client_nxt);
    EXPECT_EQ(p.from_server(to_client.option(list).build()), Verdict::kForward);
    EXPECT_EQ(p.take_client().options, list);
    const bool malformed = &list != &lists[2];  // the last has a wrong length but can be walked
    counted += malformed ? 2 : 0;
    EXPECT_EQ(p.count(Reason::bad_options), counted);
  }
}

TEST(Splice, CorruptionOnTheWayStaysVisibleToTheOtherEnd) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session c(p);
  c.open();
  EXPECT_EQ(p.from_client(c.client().payload("x").break_l4_checksum().build()), Verdict::kForward);
  EXPECT_FALSE(p.take_server().checksums_good);
  EXPECT_EQ(p.from_server(c.server().payload("x").break_l4_checksum().build()), Verdict::kForward);
  EXPECT_FALSE(p.take_client().checksums_good);
}

struct WindowRow {
  const char* sentence;
  std::optional<std::uint8_t> client_scale;
  std::optional<std::uint8_t> server_scale;
  std::uint16_t server_window;
  std::uint16_t seen_by_client;
  std::uint16_t client_window;
  std::uint16_t seen_by_server;
};

// The scale that we offered is 7.
TEST(Splice, WindowsAreRescaledWhereTheScalesDiffer) {
  const WindowRow rows[] = {
      {"the same scale", 7, 7, 500, 500, 600, 600},
      {"server scales more: larger field", 7, 10, 100, 800, 600, 600},
      {"server scales more: at most 65535", 7, 14, 60000, 65535, 600, 600},
      {"server scales less: smaller field", 7, 2, 640, 20, 600, 600},
      {"server scales less: open never becomes closed", 7, 2, 31, 1, 600, 600},
      {"server scales less: one byte is open", 7, 0, 1, 1, 600, 600},
      {"closed stays closed", 7, 2, 0, 0, 600, 600},
      {"closed stays closed, larger", 7, 14, 0, 0, 0, 0},
      {"server does not scale", 7, std::nullopt, 65535, 511, 600, 65535},
      {"server does not scale, client's small window", 7, std::nullopt, 127, 1, 3, 384},
      {"server does not scale, client's closed window", 7, std::nullopt, 128, 1, 0, 0},
      {"client does not scale: nothing is", std::nullopt, 7, 500, 500, 600, 600},
      {"client scales by 0", 0, 5, 400, 100, 600, 600},
      {"client scales by 14, server not", 14, std::nullopt, 640, 5, 4, 65535},
  };
  for (const bool timestamps : {true, false}) {
    for (const WindowRow& row : rows) {
      SCOPED_TRACE(row.sentence);
      ProxyHarness p;
      Session c(p, {.timestamps = timestamps,
                    .client_scale = row.client_scale,
                    .server_scale = row.server_scale});
      c.open();
      c.o.server_window = row.server_window;
      c.o.client_window = row.client_window;
      EXPECT_EQ(c.server_sends("x").window, row.seen_by_client);
      EXPECT_EQ(c.client_sends("x").window, row.seen_by_server);
    }
  }
}

TEST(Splice, AckOfTheSpliceCarriesTheClientsWindowAsTheServerUnderstandsIt) {
  for (const auto& [scale, expected] :
       {std::pair<std::optional<std::uint8_t>, int>{7, 502}, {std::nullopt, 64256}}) {
    ProxyHarness p;
    Session c(p, {.client_window = 502, .server_scale = scale});
    c.syn();
    c.ack();
    EXPECT_EQ(c.syn_ack().window, expected);
  }
}

TEST(Splice, WindowUpdateGoesToAClientThatWasShownNoWindow) {
  HarnessOptions h;
  h.engine.tuning.early_window = 0;
  ProxyHarness p(h);
  Session c(p, {.server_window = 64000});
  EXPECT_EQ(c.syn().window, 0);
  c.ack();
  c.syn_ack();
  const DecodedFrame update = p.take_client();
  EXPECT_EQ(update.flags, kAck);
  EXPECT_EQ(update.seq, c.cookie + 1);
  EXPECT_EQ(update.ack, c.o.client_isn + 1) << "the proxy never acknowledges data";
  EXPECT_EQ(update.window, 500) << "64000 bytes at the offered scale";
  EXPECT_EQ(update.tsval(), c.our_tsval);
  EXPECT_EQ(update.tsecr(), c.o.client_ts);
  EXPECT_EQ(p.count(Reason::window_update), 1U);
  p.expect_quiet();
}

TEST(Splice, ServerWithoutTimestampsCannotKeepThePromise) {
  ProxyHarness p;
  Session c(p, {.server_timestamps = false});
  c.syn();
  c.ack();
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kDrop);
  const DecodedFrame to_client = p.take_client();
  EXPECT_TRUE(to_client.has(kRst));
  EXPECT_EQ(to_client.seq, c.cookie + 1);
  const DecodedFrame to_server = p.take_server();
  EXPECT_TRUE(to_server.has(kRst));
  EXPECT_EQ(to_server.seq, c.o.client_isn + 1);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::server_no_timestamps), 1U);
  EXPECT_EQ(p.count(Reason::conn_established), 0U);
  p.expect_empty_after(70'000);
}

TEST(Splice, SackBlocksAreBlankedForAServerThatLacksSack) {
  for (const unsigned nops : {0U, 1U}) {
    ProxyHarness p;
    Session c(p, {.server_sack = false});
    c.open();
    EXPECT_EQ(p.count(Reason::server_no_sack), 1U);
    PacketBuilder b = c.client();
    b.nop(nops).sack({{c.cookie + 100, c.cookie + 200}, {c.cookie + 300, c.cookie + 400}});
    EXPECT_EQ(p.from_client(b.build()), Verdict::kForward);
    const DecodedFrame f = p.take_server();
    EXPECT_TRUE(f.sack.empty());
    ASSERT_EQ(f.timestamps.size(), 1U);
    EXPECT_EQ(f.tsecr(), c.server_first_ts);
    for (std::size_t i = 12; i < 12 + nops + 18; ++i) EXPECT_EQ(f.options[i], 1) << i;
  }
}

TEST(Splice, EctIsClearedAndCeDroppedForAServerThatLacksEcn) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .ecn = true, .server_ecn = false});
    c.open();
    EXPECT_EQ(p.count(Reason::server_no_ecn), 1U);
    for (const std::uint8_t ect : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
      EXPECT_EQ(
          p.from_client(
              c.client().traffic_class(static_cast<std::uint8_t>(0xb8 | ect)).payload("x").build()),
          Verdict::kForward);
      EXPECT_EQ(p.take_server().traffic_class, 0xb8);
    }
    EXPECT_EQ(p.from_client(c.client().traffic_class(0xbb).payload("x").build()), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::ce_without_ecn), 1U);
    EXPECT_EQ(p.from_server(c.server().traffic_class(0x03).build()), Verdict::kForward);
    EXPECT_EQ(p.take_client().traffic_class, 0x03) << "towards the client nothing was broken";
  }
}

TEST(Splice, EcnThatBothEndsAgreedOnPasses) {
  ProxyHarness p;
  Session c(p, {.ecn = true});
  c.open();
  EXPECT_EQ(p.count(Reason::server_no_ecn), 0U);
  EXPECT_EQ(p.from_client(c.client().traffic_class(3).payload("x").build()), Verdict::kForward);
  EXPECT_EQ(p.take_server().traffic_class, 3);
  EXPECT_EQ(p.from_server(c.server(kAck | kEce | kCwr).build()), Verdict::kForward);
  EXPECT_EQ(p.take_client().flags, kAck | kEce | kCwr);
}

TEST(Splice, ChallengeAckOnALiveFlowPassesBothWays) {
  ProxyHarness p;
  Session c(p);
  c.open();
  // A segment outside any window is for the ends to judge.
  EXPECT_EQ(p.from_client(c.client().seq(c.client_nxt - 100'000).payload("old").build()),
            Verdict::kForward);
  EXPECT_EQ(p.take_server().seq, c.client_nxt - 100'000);
  c.server_sends("", kAck);
  c.client_sends("and on");
}

TEST(Splice, ManyConnectionsStayApart) {
  ProxyHarness p;
  std::vector<std::unique_ptr<Session>> all;
  for (std::uint32_t i = 0; i < 200; ++i) {
    SessionOptions o;
    o.ipv6 = i % 3 == 0;
    o.client_port = static_cast<std::uint16_t>(20000 + i / 2);  // the same ports in two VLANs
    o.tags = {{static_cast<std::uint16_t>(100 + i % 2), 0x8100}};
    o.client_isn = i * 0x01234567U;
    o.server_isn = i * 0x89abcdefU;
    o.timestamps = i % 5 != 0;
    all.push_back(std::make_unique<Session>(p, o));
    all.back()->open();
  }
  for (int round = 0; round < 3; ++round) {
    for (const auto& c : all) c->client_sends("ping");
    for (const auto& c : all) c->server_sends("pong");
  }
  EXPECT_EQ(p.flows(), 200U);
  for (const auto& c : all) c->close();
  p.expect_empty_after(70'000);
}

TEST(Splice, BurstOfMixedPacketsIsDecidedInOrder) {
  ProxyHarness p;
  Session a(p, {.client_port = 1});
  Session b(p, {.client_port = 2});
  Session n(p, {.client_port = 3});
  a.open();
  b.syn();
  std::vector<Bytes> burst;
  burst.push_back(a.client(kAck).payload("one").build());
  burst.push_back(b.ack_frame());                       // opens a flow
  burst.push_back(b.client().payload("held").build());  // this packet of the same burst meets it
  burst.push_back(n.syn_frame());
  a.client_nxt += 3;
  burst.push_back(a.client(kAck).payload("two").build());
  burst.push_back(PacketBuilder().ether_type(0x0806).build());
  const auto verdicts = p.feed_burst(Role::kClient, burst);
  EXPECT_EQ(verdicts,
            (std::vector<Verdict>{Verdict::kForward, Verdict::kDrop, Verdict::kDrop,
                                  Verdict::kReply, Verdict::kForward, Verdict::kForward}));
  EXPECT_EQ(p.count(Reason::early_held), 1U);
  EXPECT_EQ(p.take_server().text(), "one");
  EXPECT_EQ(p.take_server().text(), "two");
  (void)p.take_raw(Role::kServer);
  EXPECT_EQ(p.take_server().flags, kSyn);
  EXPECT_EQ(p.take_client().flags, kSyn | kAck);
  p.expect_quiet();
}

}  // namespace
}  // namespace synproxy
