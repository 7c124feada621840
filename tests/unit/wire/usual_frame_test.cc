// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/usual_frame.h"

#include <gtest/gtest.h>

#include <array>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

PacketBuilder usual() { return PacketBuilder().flags(kAck); }

bool is_usual(const Bytes& f) { return difference_from_usual(f.data()) == 0; }

TEST(UsualFrame, IsUntaggedIpv4WithoutOptionsOrFragments) {
  EXPECT_TRUE(is_usual(usual().build()));
  EXPECT_TRUE(is_usual(usual().fragment(kDontFragment).build()));
  EXPECT_FALSE(is_usual(usual().fragment(0x2000).build()));
  EXPECT_FALSE(is_usual(usual().fragment(1).build()));
  EXPECT_FALSE(is_usual(usual().vlan(5).build()));
  EXPECT_FALSE(is_usual(usual().ip_options({1, 1, 1, 1}).build()));
  EXPECT_FALSE(is_usual(usual().protocol(17).build()));
  EXPECT_FALSE(is_usual(usual().ipv6("2001:db8::1", "2001:db8::2").build()));
}

// The quick look reads three fields and their neighbours. No bit of a neighbour matters.
TEST(UsualFrame, QuickLookAgreesWithThePatternOnEveryBit) {
  const Bytes frame = usual().build();
  for (std::size_t bit = 0; bit < 8 * usual_at::kTcp; ++bit) {
    Bytes other = frame;
    const auto flipped = static_cast<std::uint8_t>(1U << bit % 8);
    other[bit / 8] ^= flipped;
    EXPECT_EQ(is_usual(other), (kUsualFrame.mask[bit / 8] & flipped) == 0) << bit;
  }
}

TEST(UsualFrame, LengthsFitWhenEachHeaderHasRoom) {
  constexpr std::size_t kFrame = 100;
  constexpr std::size_t kPacket = kFrame - usual_at::kIp;
  EXPECT_TRUE(usual_lengths_fit(kPacket, 20, kFrame));
  EXPECT_TRUE(usual_lengths_fit(40, 20, kFrame)) << "Ethernet padding";
  EXPECT_FALSE(usual_lengths_fit(kPacket + 1, 20, kFrame));
  EXPECT_FALSE(usual_lengths_fit(39, 20, kFrame));
  EXPECT_FALSE(usual_lengths_fit(kPacket, 16, kFrame));
  EXPECT_FALSE(usual_lengths_fit(59, 40, kFrame));
  EXPECT_TRUE(usual_lengths_fit(60, 40, kFrame));
  EXPECT_FALSE(has_usual_length(kUsualHeaders - 1));
  EXPECT_TRUE(has_usual_length(kUsualHeaders));
  EXPECT_TRUE(has_usual_length(kMaxFrame));
  EXPECT_FALSE(has_usual_length(kMaxFrame + 1));
}

TEST(UsualFrame, GroupAddressOnEitherSideIsSeen) {
  Bytes f = usual().build();
  EXPECT_TRUE(is_unicast(f.data()));
  for (const std::size_t at : {ether_at::kDestination, ether_at::kSource}) {
    Bytes group = f;
    group[at] |= 1;
    EXPECT_FALSE(is_unicast(group.data()));
    group[at] = 0xfe;
    EXPECT_TRUE(is_unicast(group.data()));
  }
}

}  // namespace
}  // namespace synproxy
