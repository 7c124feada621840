// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: TCP options read, offered and translated.
#include <gtest/gtest.h>

#include <array>

#include "support/naive_checksum.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;
using Blocks = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

Bytes timestamps_option(std::uint32_t tsval, std::uint32_t tsecr) {
  Bytes b{8, 10};
  for (const std::uint32_t v : {tsval, tsecr}) {
    for (int shift = 24; shift >= 0; shift -= 8) b.push_back(static_cast<std::uint8_t>(v >> shift));
  }
  return b;
}

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

// A segment of the session without its timestamps, for tests that write the options themselves.
PacketBuilder bare(const Session& c, bool from_client) {
  PacketBuilder b;
  if (from_client) {
    b.ip(c.o.client, c.o.server).ports(c.o.client_port, 80);
    return b.seq(c.client_nxt).ack(c.seen_by_client(c.server_nxt));
  }
  b.macs(kServerMac, kClientMac).ip(c.o.server, c.o.client).ports(80, c.o.client_port);
  return b.seq(c.server_nxt).ack(c.client_nxt);
}

// The length byte is missing. A parser that reads it all the same finds the payload, or what the
// buffer held before: then the two engines of the harness differ.
TEST(KnownFault, OptionParsingWithOneByteLeft) {
  struct Row {
    std::uint8_t kind;
    Bytes payload;  // what a careless parser takes for the rest of the option
  };
  const Row rows[] = {{2, {4, 0x10, 0x00}},
                      {3, {3, 9}},
                      {4, {2}},
                      {8, {10, 1, 2, 3, 4, 5, 6, 7, 8}},
                      {5, {10, 0, 0, 0, 1, 0, 0, 0, 2}},
                      {254, {0}},
                      {8, {}},
                      {3, {}}};
  for (const Row& row : rows) {
    SCOPED_TRACE("kind " + std::to_string(row.kind) + ", " + std::to_string(row.payload.size()) +
                 " bytes after");
    ProxyHarness p;
    p.room = 0;  // buffers that end with their frame: AddressSanitizer sees a byte too many
    PacketBuilder syn;
    syn.flags(kSyn).seq(77).option({2, 4, 4, 0xc4, 1, 1, 1, row.kind}).payload(row.payload);
    EXPECT_EQ(p.from_client(syn.build()), Verdict::kReply);
    const DecodedFrame f = p.take_client();
    EXPECT_EQ(f.flags, kSyn | kAck);
    EXPECT_FALSE(f.window_scale || f.sack_permitted || !f.timestamps.empty());
    // The options before it count.
    PacketBuilder ack;
    EXPECT_EQ(p.from_client(ack.seq(78).ack(f.seq + 1).build()), Verdict::kDrop);
    EXPECT_EQ(p.take_server().mss, 1220);

    Session c(p, {.client_port = 41000});
    c.open();
    for (const bool from_client : {true, false}) {
      PacketBuilder b = bare(c, from_client);
      b.nop(3).option({row.kind}).payload(row.payload);
      EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, b.build()), Verdict::kForward);
      const DecodedFrame out = from_client ? p.take_server() : p.take_client();
      EXPECT_EQ(out.payload, row.payload);
      EXPECT_EQ(out.options, (Bytes{1, 1, 1, row.kind}));
      EXPECT_EQ(from_client ? out.ack : out.seq,
                from_client ? c.server_nxt : c.seen_by_client(c.server_nxt));
    }
    EXPECT_EQ(p.count(Reason::bad_options), 2U);
  }
}

// Data offsets that no segment can have. The checksum is right, so they are the only reason for the
// drop.
TEST(KnownFault, CorruptTcpHeaderLength) {
  const auto with_offset = [](Bytes frame, unsigned words) {
    const std::size_t tcp = 14 + 20;
    frame[tcp + 12] = static_cast<std::uint8_t>(words << 4 | (frame[tcp + 12] & 1U));
    frame[tcp + 16] = frame[tcp + 17] = 0;
    const std::span<const std::uint8_t> all(frame);
    const std::uint16_t sum = naive_pseudo_header(all.subspan(14 + 12, 8), 6, frame.size() - tcp)
                                  .add(all.subspan(tcp))
                                  .checksum();
    frame[tcp + 16] = static_cast<std::uint8_t>(sum >> 8);
    frame[tcp + 17] = static_cast<std::uint8_t>(sum);
    return frame;
  };
  ProxyHarness p;
  Session c(p);
  c.open();
  std::uint64_t dropped = 0;
  for (unsigned words = 0; words < 16; ++words) {
    // 20 bytes of header and 3 of data: only five words can be right.
    const Bytes frames[] = {PacketBuilder().flags(kSyn).payload("abc").build(),
                            bare(c, true).payload("abc").build(),
                            bare(c, true).flags(kRst).payload("abc").build()};
    for (const Bytes& frame : frames) {
      const Verdict verdict = p.from_client(with_offset(frame, words));
      if (words == 5) continue;
      EXPECT_EQ(verdict, Verdict::kDrop) << words;
      EXPECT_EQ(p.count(Reason::bad_tcp_header), ++dropped);
    }
    if (words != 5) {
      EXPECT_EQ(p.from_server(with_offset(bare(c, false).payload("abc").build(), words)),
                Verdict::kDrop);
      EXPECT_EQ(p.count(Reason::bad_tcp_header), ++dropped);
      p.expect_quiet();
    }
    p.to_client.clear();
    p.to_server.clear();
  }
}

TEST(KnownFault, DuplicateTimestampOptionsAreAllAdjusted) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.open();
    for (unsigned copies = 2; copies <= 4; ++copies) {
      PacketBuilder up = bare(c, true);
      PacketBuilder down = bare(c, false);
      for (std::uint32_t i = 0; i < copies; ++i) {
        up.option(timestamps_option(100 + i, c.our_tsval + i));
        down.option(timestamps_option(c.server_first_ts + i, 200 + i));
      }
      EXPECT_EQ(p.from_client(up.payload("up").build()), Verdict::kForward);
      EXPECT_EQ(p.from_server(down.payload("down").build()), Verdict::kForward);
      const DecodedFrame at_server = p.take_server();
      const DecodedFrame at_client = p.take_client();
      ASSERT_EQ(at_server.timestamps.size(), copies);
      ASSERT_EQ(at_client.timestamps.size(), copies);
      for (std::uint32_t i = 0; i < copies; ++i) {
        EXPECT_EQ(at_server.timestamps[i], std::pair(100 + i, c.server_first_ts + i)) << i;
        EXPECT_EQ(at_client.timestamps[i], std::pair(c.our_tsval + i, 200 + i)) << i;
      }
    }
  }
}

// At every place in the list, and so at every alignment, behind options of every kind.
TEST(KnownFault, UnalignedTimestampOption) {
  ProxyHarness p;
  Session c(p);
  c.open();
  for (unsigned before = 0; before <= 30; ++before) {
    SCOPED_TRACE(before);
    // An unknown option of that length, or NOPs if the length is too short for an option.
    Bytes pad(before, 1);
    if (before >= 2) {
      pad[0] = 253;
      pad[1] = static_cast<std::uint8_t>(before);
    }
    for (const char* payload : {"", "x", "xy"}) {
      PacketBuilder up = bare(c, true);
      PacketBuilder down = bare(c, false);
      up.option(pad).option(timestamps_option(9, c.our_tsval)).payload(payload);
      down.option(pad).option(timestamps_option(c.server_first_ts + 7, 9)).payload(payload);
      EXPECT_EQ(p.from_client(up.build()), Verdict::kForward);
      EXPECT_EQ(p.from_server(down.build()), Verdict::kForward);
      EXPECT_EQ(p.take_server().timestamps, (Blocks{{9, c.server_first_ts}}));
      EXPECT_EQ(p.take_client().timestamps, (Blocks{{c.our_tsval + 7, 9}}));
    }
  }
}

TEST(KnownFault, NonzeroWindowThatRescalesToZero) {
  for (const auto offered : std::to_array<std::uint8_t>({7, 14})) {
    for (const std::optional<std::uint8_t> server :
         {std::optional<std::uint8_t>{}, {0}, {1}, {6}}) {
      ProxyHarness p([&] {
        HarnessOptions h;
        h.engine.tuning.offer.window_scale = offered;
        return h;
      }());
      Session c(p, {.server_scale = server});
      c.open();
      const unsigned shift = server.value_or(0);
      for (const unsigned w :
           {0U, 1U, 2U, 3U, 63U, 64U, 127U, 128U, 129U, 16383U, 16384U, 65535U}) {
        EXPECT_EQ(p.from_server(c.server().window(static_cast<std::uint16_t>(w)).build()),
                  Verdict::kForward);
        const unsigned seen = p.take_client().window;
        EXPECT_EQ(seen == 0, w == 0) << w;
        EXPECT_LE(seen << offered, std::max(w << shift, 1U << offered))
            << "no more than the server has";
      }
    }
  }
}

// Scaling by 2^0 is an offer to scale: the server's own scale depends on it.
TEST(KnownFault, ClientWscaleZeroIsScaling) {
  for (const bool timestamps : {false, true}) {
    for (const bool ipv6 : {false, true}) {
      ProxyHarness p;
      Session zero(p, {.ipv6 = ipv6, .timestamps = timestamps, .client_scale = 0});
      EXPECT_EQ(zero.syn().window_scale, 7);
      EXPECT_EQ(zero.ack().window_scale, 0) << "asked for, with the client's own shift";
      EXPECT_EQ(zero.syn_ack().window, 64'240) << "the client's window means what it says";
      zero.o.server_window = 501;  // 64,128 bytes
      EXPECT_EQ(zero.server_sends("x").window, 501);
      zero.o.client_window = 1000;
      EXPECT_EQ(zero.client_sends("y").window, 1000);

      Session none(
          p, {.ipv6 = ipv6, .client_port = 41000, .timestamps = timestamps, .client_scale = {}});
      EXPECT_FALSE(none.syn().window_scale);
      EXPECT_FALSE(none.ack().window_scale);
      none.syn_ack();
      none.o.server_window = 501;
      EXPECT_EQ(none.server_sends("x").window, 501) << "nobody scales";
    }
  }
}

// The MSS of a SYN-ACK says what may be sent to this end; it does not repeat the other end's.
TEST(KnownFault, SynAckOffersItsOwnMssAndNotTheClients) {
  for (const auto clients : std::to_array<std::uint16_t>({536, 1200, 1400, 1460, 8960, 65535})) {
    for (const bool ipv6 : {false, true}) {
      for (const auto configured : std::to_array<std::uint16_t>({0, 1300})) {
        HarnessOptions h;
        h.engine.tuning.offer.mss = configured;
        ProxyHarness p(h);
        Session c(p, {.ipv6 = ipv6, .mss = clients});
        EXPECT_EQ(c.syn().mss, configured != 0 ? configured : ipv6 ? 1440 : 1460);
        EXPECT_EQ(c.ack().mss, clients) << "the server hears the client's";
      }
    }
  }
}

// An untranslated edge makes the server drop the whole ACK, or believe in data it never sent.
TEST(KnownFault, SackEdgesAreTranslated) {
  for (const bool timestamps : {false, true}) {
    ProxyHarness p;
    Session c(p, {.server_isn = 0xffffff00, .timestamps = timestamps});
    c.open();
    for (const std::uint16_t flags :
         {kAck, std::uint16_t(kAck | kPsh), std::uint16_t(kAck | kFin)}) {
      for (std::size_t count = 1; count <= (timestamps ? 3U : 4U); ++count) {
        Blocks sent;
        Blocks expected;
        for (std::uint32_t i = 0; i < count; ++i) {
          sent.emplace_back(c.cookie + 1 + 1000 * i + 500, c.cookie + 1 + 1000 * i + 900);
          expected.emplace_back(c.o.server_isn + 1 + 1000 * i + 500,
                                c.o.server_isn + 1 + 1000 * i + 900);
        }
        PacketBuilder b = c.client(flags);
        // Its place and alignment must not matter.
        b.nop(static_cast<unsigned>(timestamps ? count % 2 : count % 3)).sack(sent);
        EXPECT_EQ(p.from_client(b.build()), Verdict::kForward);
        EXPECT_EQ(p.take_server().sack, expected);
      }
    }
    // Two SACK options in one header: both are translated.
    PacketBuilder two = bare(c, true);
    two.sack(Blocks{{c.cookie + 1, c.cookie + 2}}).sack(Blocks{{c.cookie + 5, c.cookie + 9}});
    EXPECT_EQ(p.from_client(two.build()), Verdict::kForward);
    const std::uint32_t s = c.o.server_isn;
    EXPECT_EQ(p.take_server().sack, (Blocks{{s + 1, s + 2}, {s + 5, s + 9}}));
  }
}

// No END, no padding, no payload: the last byte of the option is the last byte of the buffer.
TEST(KnownFault, LastOptionEndingExactlyAtTheEndOfThePacket) {
  const Bytes mss{2, 4, 5, 0x78};
  const Bytes scale{3, 3, 5};
  const Bytes sack_ok{4, 2};
  const Bytes ts = timestamps_option(0x01020304, 0);
  const Bytes nop{1};
  const Bytes lists[] = {join({nop, scale, sack_ok, ts, mss}), join({mss, sack_ok, ts, nop, scale}),
                         join({mss, nop, scale, ts, sack_ok}),
                         join({mss, nop, scale, sack_ok, ts})};
  for (const Bytes& list : lists) {
    ASSERT_EQ(list.size() % 4, 0U);
    ProxyHarness p;
    p.room = 0;  // a buffer that ends where the frame ends
    EXPECT_EQ(p.from_client(PacketBuilder().flags(kSyn).seq(5).option(list).build()),
              Verdict::kReply);
    const DecodedFrame f = p.take_client();
    EXPECT_TRUE(f.window_scale && f.sack_permitted && !f.timestamps.empty());
    EXPECT_EQ(f.tsecr(), 0x01020304U);
    PacketBuilder ack;
    ack.seq(6).ack(f.seq + 1).option({1, 1}).option(timestamps_option(0x01020304, f.tsval()));
    EXPECT_EQ(p.from_client(ack.build()), Verdict::kDrop);
    const DecodedFrame syn = p.take_server();
    EXPECT_EQ(syn.mss, 1400);
    EXPECT_EQ(syn.window_scale, 5);
    EXPECT_TRUE(syn.sack_permitted);
    EXPECT_EQ(syn.tsval(), 0x01020304U);
  }
  ProxyHarness p;
  Session c(p);
  c.open();
  p.room = 0;
  const std::uint32_t edge = c.cookie + 11;
  PacketBuilder b = bare(c, true);
  b.option(timestamps_option(9, c.our_tsval))
      .sack(Blocks{{edge, edge + 1}, {edge + 2, edge + 3}})
      .nop(2);
  PacketBuilder last = bare(c, true);
  last.nop(2)
      .sack(Blocks{{edge, edge + 1}, {edge + 2, edge + 3}})
      .option(timestamps_option(9, c.our_tsval));
  PacketBuilder sack_last = bare(c, true);
  sack_last.option(timestamps_option(9, c.our_tsval))
      .nop(2)
      .sack(Blocks{{edge, edge + 1}, {edge + 2, edge + 3}});
  for (const PacketBuilder* each : {&b, &last, &sack_last}) {
    EXPECT_EQ(p.from_client(each->build()), Verdict::kForward);
    const DecodedFrame f = p.take_server();
    EXPECT_EQ(f.tsecr(), c.server_first_ts);
    const std::uint32_t s = c.o.server_isn + 11;
    EXPECT_EQ(f.sack, (Blocks{{s, s + 1}, {s + 2, s + 3}}));
  }
}

}  // namespace
}  // namespace synproxy
