// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/junk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using namespace test;

Segment parsed(Bytes& frame) {
  Segment s;
  parse_frame(frame.data(), frame.size(), s);
  return s;
}

TEST(SurelySound, IsTrueForTheUsualSegmentsOfIpv4) {
  for (const std::uint16_t flags :
       {kSyn, kAck, std::uint16_t(kAck | kPsh), std::uint16_t(kFin | kAck), kRst}) {
    Bytes frame = PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").flags(flags).build();
    EXPECT_TRUE(surely_sound(parsed(frame))) << flags;
  }
}

// surely_sound() is never true for what junk() drops, whatever the bytes.
TEST(SurelySound, NeverCoversJunk) {
  std::mt19937 random(3);
  std::size_t sound = 0;
  for (int round = 0; round < test::rounds(400'000); ++round) {
    Bytes frame = PacketBuilder()
                      .ipv4("198.51.100.7", "203.0.113.10")
                      .flags(static_cast<std::uint16_t>(random() % 512))
                      .build();
    frame[26] = static_cast<std::uint8_t>(random());  // first byte of the source
    if (random() % 8 == 0) std::fill_n(frame.begin() + 26, 4, std::uint8_t{255});
    if (random() % 8 == 0) std::copy_n(frame.begin() + 30, 4, frame.begin() + 26);
    if (random() % 4 == 0) std::copy_n(frame.begin() + 36, 2, frame.begin() + 34);
    frame[0] = static_cast<std::uint8_t>(random() % 4);
    frame[6] = static_cast<std::uint8_t>(random() % 4);
    const Segment s = parsed(frame);
    ASSERT_EQ(s.result, ParseResult::kTcp);
    if (!surely_sound(s)) continue;
    ++sound;
    ASSERT_FALSE(junk(s).has_value()) << round;
  }
  EXPECT_GT(sound, test::rounds(10'000U));
}

}  // namespace
}  // namespace synproxy
