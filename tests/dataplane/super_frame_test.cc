// SPDX-License-Identifier: BSD-3-Clause
// A super-frame that is cut becomes the segments that its sender stands for, byte by byte.
#include "dataplane/super_frame.h"

#include <gtest/gtest.h>

#include "support/exact_buffer.h"
#include "support/super_frames.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::ExactBuffer;
using test::LongSegment;

constexpr std::uint16_t kSize = 1448;

OffloadHeader header_of(const LongSegment& s, std::uint16_t size = kSize) {
  OffloadHeader h;
  h.flags = kNeedsChecksum;
  h.gso_type = s.ipv6 ? kGsoTcpv6 : kGsoTcpv4;
  h.gso_size = size;
  h.checksum_start = static_cast<std::uint16_t>(s.transport_at());
  h.checksum_offset = 16;
  return h;
}

std::vector<LongSegment> shapes() {
  std::vector<LongSegment> all;
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tags : {0U, 1U, 2U}) {
      for (const std::size_t payload : {1U, 1447U, 1448U, 1449U, 2896U, 10'000U, 60'000U}) {
        LongSegment s;
        s.ipv6 = ipv6;
        s.tags.assign(tags, test::VlanTag{7, kEtherTypeVlan});
        s.payload = payload;
        all.push_back(s);
      }
    }
  }
  return all;
}

std::vector<Bytes> cut(std::span<const std::uint8_t> frame, const OffloadHeader& header) {
  std::vector<Bytes> out;
  for (FrameCutter cutter(frame, header); !cutter.done();) {
    Bytes segment(cutter.next_size());
    cutter.write_segment(segment.data());
    out.push_back(segment);
  }
  return out;
}

TEST(SuperFrame, CutIsWhatASenderWithoutOffloadsSends) {
  for (const LongSegment& s : shapes()) {
    const Bytes frame = s.super_frame();
    OffloadHeader h = header_of(s);
    ASSERT_TRUE(sound_header(h, frame));
    EXPECT_EQ(h.header_length, s.payload_at());
    EXPECT_EQ(cut(frame, h), s.segments(kSize)) << s.ipv6 << s.tags.size() << ' ' << s.payload;
  }
}

TEST(SuperFrame, CutInTwoStepsIsTheSame) {
  for (const LongSegment& s : shapes()) {
    const Bytes frame = s.super_frame();
    OffloadHeader h = header_of(s);
    h.gso_type |= kGsoEcn;
    ASSERT_TRUE(sound_header(h, frame));
    std::vector<Bytes> out;
    for (FrameCutter halves(frame, h, 3); !halves.done();) {
      Bytes half(halves.next_size());
      const bool first = out.empty();
      OffloadHeader own;
      halves.write_super_frame(half.data(), own);
      ASSERT_TRUE(sound_header(own, half));
      EXPECT_EQ((own.gso_type & kGsoEcn) != 0, first);
      for (const Bytes& segment : cut(half, own)) out.push_back(segment);
    }
    EXPECT_EQ(out, s.segments(kSize));
  }
}

TEST(SuperFrame, LongestPacketIsThatOfTheFirstSegment) {
  LongSegment s;
  s.tags.assign(1, {5, kEtherTypeVlan});
  OffloadHeader h = header_of(s);
  ASSERT_TRUE(sound_header(h, s.super_frame()));
  EXPECT_EQ(longest_packet(s.super_frame(), h), 20U + 32U + kSize);
  s.payload = 10;
  h = header_of(s);
  ASSERT_TRUE(sound_header(h, s.super_frame()));
  EXPECT_EQ(longest_packet(s.super_frame(), h), 20U + 32U + 10U);
}

TEST(SuperFrame, UdpIsCutIntoDatagrams) {
  Bytes udp{0x9c, 0x40, 0x00, 0x35, 0, 0, 0, 0};
  const Bytes data = test::pattern(3000);
  udp.insert(udp.end(), data.begin(), data.end());
  store_be(&udp[4], static_cast<std::uint16_t>(udp.size()));
  Bytes frame =
      test::PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").protocol(17).raw_l4(udp).build();
  OffloadHeader h{kNeedsChecksum, kGsoUdp, 0, 1200, 34, 6};
  ASSERT_TRUE(sound_header(h, frame));
  const auto out = cut(frame, h);
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(load_be<std::uint16_t>(&out[0][38]), 1208);
  EXPECT_EQ(load_be<std::uint16_t>(&out[2][38]), 608);
  EXPECT_EQ(Bytes(out[2].begin() + 42, out[2].end()), Bytes(data.begin() + 2400, data.end()));
}

TEST(SuperFrame, HeaderThatDoesNotFitItsFrameIsRefused) {
  for (const bool ipv6 : {false, true}) {
    LongSegment s;
    s.ipv6 = ipv6;
    s.payload = 4000;
    const Bytes frame = s.super_frame();
    const OffloadHeader good = header_of(s);
    const auto sound = [&](OffloadHeader h, Bytes f) {
      const ExactBuffer exact(f);
      return sound_header(h, exact.span());
    };
    ASSERT_TRUE(sound(good, frame));
    for (unsigned type = 0; type < 256; ++type) {
      OffloadHeader h = good;
      h.gso_type = static_cast<std::uint8_t>(type);
      const bool right = (type & 0x7fU) == unsigned{good.gso_type};
      EXPECT_EQ(sound(h, frame), right) << type;
    }
    for (std::uint32_t start = 0; start < 0x10000; start += start < 200 ? 1 : 97) {
      OffloadHeader h = good;
      h.checksum_start = static_cast<std::uint16_t>(start);
      if (start == good.checksum_start) continue;
      // IPv6 may have extension headers, so a later start may be right.
      EXPECT_TRUE(!sound(h, frame) || (ipv6 && start > good.checksum_start)) << start;
    }
    OffloadHeader h = good;
    h.flags = 0;
    EXPECT_FALSE(sound(h, frame));
    h = good;
    h.gso_size = 0;
    EXPECT_FALSE(sound(h, frame));
    h = good;
    h.checksum_offset = 6;
    EXPECT_FALSE(sound(h, frame));
    for (std::size_t length = 0; length < frame.size(); length += length < 120 ? 1 : 251) {
      EXPECT_FALSE(
          sound(good, Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length))))
          << length;
    }
    for (const unsigned offset : {0U, 1U, 4U}) {  // TCP header lengths 0, 4, 16
      Bytes f = frame;
      f[s.transport_at() + 12] = static_cast<std::uint8_t>(offset << 4);
      EXPECT_FALSE(sound(good, f));
    }
  }
}

}  // namespace
}  // namespace synproxy::dataplane
