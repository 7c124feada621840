// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/fragment.h"

#include <gtest/gtest.h>

#include "support/fragments.h"

namespace synproxy {
namespace {

using namespace test;

Bytes pattern(std::size_t size) {
  Bytes b(size);
  for (std::size_t i = 0; i < size; ++i) b[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return b;
}

PacketBuilder packet(bool ipv6) {
  PacketBuilder b;
  if (ipv6) {
    b.ipv6("2001:db8:1::7", "2001:db8::10");
  } else {
    b.fragment(0).ip_id(77);
  }
  return b.flags(kAck).seq(1).ack(2);
}

std::vector<Bytes> cut_again(const Bytes& frame, std::size_t l3, bool ipv6,
                             const CameInFragments& came) {
  FragmentCutter cutter(frame, l3, ipv6, came);
  std::vector<Bytes> out;
  Bytes room(0xffff);
  while (const std::size_t size = cutter.next(room)) {
    out.emplace_back(room.begin(), room.begin() + static_cast<long>(size));
  }
  EXPECT_EQ(cutter.fits(), out.empty());
  return out;
}

TEST(FragmentCutter, MakesTheFragmentsThatARouterMade) {
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tags : {0U, 1U, 2U}) {
      for (const std::size_t size : {1460U, 8960U, 16'300U}) {
        for (const std::size_t each : {1232U, 1480U, 8000U}) {
          PacketBuilder b = packet(ipv6).payload(pattern(size));
          for (std::size_t t = 0; t < tags; ++t) b.vlan(7);
          const Bytes frame = b.build();
          const std::vector<Bytes> wanted = cut(frame, each);
          const auto headers = static_cast<std::uint16_t>(ipv6 ? 40 : 20);
          const auto largest = static_cast<std::uint16_t>(headers + (ipv6 ? 8U : 0U) + each);
          const auto got = cut_again(frame, 14 + 4 * tags, ipv6, {77, largest, headers});
          if (wanted.size() == 1) {
            EXPECT_TRUE(got.empty());
          } else {
            EXPECT_EQ(got, wanted) << ipv6 << " " << size << " " << each;
          }
        }
      }
    }
  }
}

TEST(FragmentCutter, SendsNothingSmallerThanEveryLinkCarries) {
  for (const bool ipv6 : {false, true}) {
    const auto headers = static_cast<std::uint16_t>(ipv6 ? 40 : 20);
    const Bytes small = packet(ipv6).payload(pattern(500)).build();
    EXPECT_TRUE(cut_again(small, 14, ipv6, {77, 100, headers}).empty()) << "it leaves whole";
    const Bytes large = packet(ipv6).payload(pattern(16'300)).build();
    const auto got = cut_again(large, 14, ipv6, {77, 100, headers});
    EXPECT_EQ(got, cut(large, ipv6 ? 1232 : 552));
    EXPECT_LE(got.size(), 32U);
  }
}

TEST(FragmentCutter, KeepsDontFragmentAndBlanksOptionsOfTheFirstFragmentOnly) {
  // A router alert is copied; a timestamp option is not.
  const Bytes options{0x94, 4, 0, 0, 68, 8, 5, 0, 1, 2, 3, 4};
  const Bytes frame =
      packet(false).fragment(0x4000).ip_options(options).payload(pattern(1400)).build();
  const auto got = cut_again(frame, 14, false, {77, 1000, 32});
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0][20], 0x60) << "DF and more";
  EXPECT_EQ(got[1][20] & 0xe0, 0x40);
  EXPECT_EQ(Bytes(got[0].begin() + 34, got[0].begin() + 46), options);
  EXPECT_EQ(Bytes(got[1].begin() + 34, got[1].begin() + 46),
            (Bytes{0x94, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}));
}

TEST(FragmentCutter, CutsBehindOtherExtensionHeaders) {
  const Bytes frame = packet(true)
                          .extension(0, {5, 2, 0, 0, 0, 0})
                          .extension(60, {1, 4, 0, 0, 0, 0})
                          .payload(pattern(2000))
                          .build();
  const auto got = cut_again(frame, 14, true, {77, 1280, 56});
  ASSERT_EQ(got.size(), 2U);
  Bytes first = got[0];
  Segment s;
  parse_frame(first.data(), first.size(), s);
  ASSERT_EQ(s.result, ParseResult::kFragment);
  const FragmentView f = read_fragment(s);
  EXPECT_EQ(f.header_size, 56U);
  EXPECT_EQ(f.next, kProtocolTcp);
  EXPECT_EQ(f.id, 77U);
  EXPECT_TRUE(f.more);
  EXPECT_EQ(f.size, 1216U);
  EXPECT_EQ(first.size(), 14U + 1280U);
}

TEST(FragmentCutter, LengthsThatDoNotFitMakeNothing) {
  Bytes frame = packet(true).payload(pattern(3000)).build();
  frame.resize(200);  // the packet says more
  for (const Bytes& f : cut_again(frame, 14, true, {77, 1280, 40})) EXPECT_LE(f.size(), 208U);
  const Bytes whole = packet(true).payload(pattern(3000)).build();
  FragmentCutter cutter(whole, 14, true, {77, 1280, 40});
  Bytes room(100);
  EXPECT_EQ(cutter.next(room), 0U);
}

}  // namespace
}  // namespace synproxy
