// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/reply.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/decoded_frame.h"
#include "support/exact_buffer.h"
#include "support/packet_builder.h"

namespace synproxy {
namespace {

using namespace test;

FlowKey key(bool ipv6) {
  FlowKey k;
  k.ipv6 = ipv6;
  const Bytes client = parse_address(ipv6 ? "2001:db8:1::7" : "198.51.100.7");
  const Bytes server = parse_address(ipv6 ? "2001:db8::10" : "203.0.113.10");
  std::copy(client.begin(), client.end(), k.client.begin());
  std::copy(server.begin(), server.end(), k.server.begin());
  k.client_port = 40000;
  k.server_port = 80;
  return k;
}

// Every combination of options: the decoder finds each option, the length is as promised, and
// another poison in the buffer gives the same bytes.
TEST(WriteTcpPacket, EveryCombinationOfOptions) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    const bool ipv6 = (bits & 1) != 0;
    TcpReply r;
    r.seq = SeqNum(0x01020304);
    r.ack = SeqNum(0x0a0b0c0d);
    r.flags = kSyn | kAck | ((bits & 2) != 0 ? kEce : 0);
    r.window = 14600;
    r.mss = (bits & 4) != 0 ? 1460 : 0;
    r.window_scale = (bits & 8) != 0 ? 14 : 15;
    r.sack_permitted = (bits & 16) != 0;
    r.timestamps = (bits & 32) != 0;
    r.tsval = 0xdeadbeef;
    r.tsecr = 0xfeedf00d;
    const std::size_t size = tcp_packet_size(ipv6, r);
    ASSERT_LE(size, kMaxTcpPacket);
    std::array<Bytes, 2> written;
    for (const std::size_t i : {0U, 1U}) {
      const ExactBuffer buffer(Bytes(size, i == 0 ? 0xa5 : 0x5a));
      ASSERT_EQ(write_tcp_packet(buffer.data(), ends_of(key(ipv6), Role::kClient), r, {}), size);
      written[i].assign(buffer.data(), buffer.data() + size);
    }
    EXPECT_EQ(written[0], written[1]) << "a byte was not written";
    Bytes frame = PacketBuilder().build();
    frame.resize(12);
    frame.push_back(ipv6 ? 0x86 : 0x08);
    frame.push_back(ipv6 ? 0xdd : 0x00);
    frame.insert(frame.end(), written[0].begin(), written[0].end());
    const auto f = decode(frame);
    ASSERT_TRUE(f.has_value());
    EXPECT_TRUE(f->checksums_good);
    EXPECT_EQ(f->source, parse_address(ipv6 ? "2001:db8::10" : "203.0.113.10"));
    EXPECT_EQ(f->source_port, 80);
    EXPECT_EQ(f->destination_port, 40000);
    EXPECT_EQ(f->seq, r.seq.value());
    EXPECT_EQ(f->ack, r.ack.value());
    EXPECT_EQ(f->flags, r.flags);
    EXPECT_EQ(f->window, r.window);
    EXPECT_EQ(f->urgent, 0);
    EXPECT_EQ(f->ttl, 64);
    EXPECT_EQ(f->traffic_class, 0);
    EXPECT_EQ(f->flow_label, 0U);
    EXPECT_EQ(f->trailing, 0U);
    EXPECT_EQ(f->mss, r.mss != 0 ? std::optional<std::uint16_t>(1460) : std::nullopt);
    EXPECT_EQ(f->window_scale, (bits & 8) != 0 ? std::optional<std::uint8_t>(14) : std::nullopt);
    EXPECT_EQ(f->sack_permitted, r.sack_permitted);
    ASSERT_EQ(f->timestamps.size(), r.timestamps ? 1U : 0U);
    if (r.timestamps) {
      EXPECT_EQ(f->tsval(), r.tsval);
      EXPECT_EQ(f->tsecr(), r.tsecr);
    }
    if (!ipv6) {
      EXPECT_EQ(f->fragment, 0x4000);
    }
  }
}

TEST(WriteTcpPacket, TheLargestFitsTheConstant) {
  TcpReply r;
  r.mss = 1460;
  r.window_scale = 7;
  r.sack_permitted = r.timestamps = true;
  EXPECT_EQ(tcp_packet_size(true, r), kMaxTcpPacket);
}

TEST(EndsOf, EitherSide) {
  for (const bool ipv6 : {false, true}) {
    const FlowKey k = key(ipv6);
    const IpEnds out = ends_of(k, Role::kServer);
    EXPECT_EQ(out.source, k.client);
    EXPECT_EQ(out.destination, k.server);
    EXPECT_EQ(out.source_port, 40000);
    const IpEnds back = ends_of(k, Role::kClient);
    EXPECT_EQ(back.source, k.server);
    EXPECT_EQ(back.destination_port, 40000);
    EXPECT_EQ(back.ipv6, ipv6);
  }
}

TEST(ReplyInPlace, SwapsMacsKeepsTagsAndNeedsItsRoom) {
  for (const bool ipv6 : {false, true}) {
    for (const unsigned tags : {0U, 1U, 2U}) {
      PacketBuilder b;
      b.ip(ipv6 ? "2001:db8:1::7" : "198.51.100.7", ipv6 ? "2001:db8::10" : "203.0.113.10");
      for (unsigned i = 0; i < tags; ++i) b.vlan(static_cast<std::uint16_t>(0x6000 + i));
      const Bytes in = b.flags(kSyn).seq(1).build();
      TcpReply r;
      r.flags = kSyn | kAck;
      r.mss = 1460;
      r.sack_permitted = r.timestamps = true;
      r.window_scale = 7;
      const std::size_t needed = 14 + 4 * tags + tcp_packet_size(ipv6, r);
      for (const std::size_t room : {in.size(), needed - 1, needed, needed + 50}) {
        Bytes memory = in;
        memory.resize(std::max(in.size(), room), 0xa5);
        const ExactBuffer buffer{std::span(memory).first(room)};
        Packet p{.data = buffer.data(),
                 .length = static_cast<std::uint32_t>(in.size()),
                 .room = static_cast<std::uint32_t>(room)};
        Segment s;
        parse_frame(p.data, p.length, s);
        const bool fits = room >= needed;
        EXPECT_EQ(reply_in_place(p, s, r, {}), fits);
        if (!fits) {
          EXPECT_EQ(p.length, in.size());
          EXPECT_EQ(Bytes(p.data, p.data + p.length), in) << "nothing was written";
          continue;
        }
        EXPECT_EQ(p.length, needed);
        const auto f = decode({p.data, p.length});
        ASSERT_TRUE(f.has_value());
        EXPECT_EQ(f->source_mac, kServerMac);
        EXPECT_EQ(f->destination_mac, kClientMac);
        ASSERT_EQ(f->tags.size(), tags);
        if (tags != 0) {
          EXPECT_EQ(f->tags[0].tci, 0x6000);
        }
        EXPECT_TRUE(f->checksums_good);
        EXPECT_EQ(f->source_port, 80);
      }
    }
  }
}

TEST(ReplyInPlace, ShorterAnswerShortensTheFrame) {
  const Bytes in = PacketBuilder().flags(kAck).payload(Bytes(1000, 1)).build();
  const ExactBuffer buffer(in);
  Packet p{.data = buffer.data(),
           .length = static_cast<std::uint32_t>(in.size()),
           .room = static_cast<std::uint32_t>(in.size())};
  Segment s;
  parse_frame(p.data, p.length, s);
  TcpReply r;
  r.flags = kRst;
  ASSERT_TRUE(reply_in_place(p, s, r, {}));
  EXPECT_EQ(p.length, 54U);
  EXPECT_TRUE(decode({p.data, p.length})->checksums_good);
}

}  // namespace
}  // namespace synproxy
