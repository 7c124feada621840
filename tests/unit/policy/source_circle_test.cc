// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/source_circle.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace synproxy {
namespace {

constexpr SourceCircle::Key kKey{0x9b1fa3e85d7c2461, 0xd4620c9fe13b7a85, 0x37e8c5b1f02d946b,
                                 0xa56f13d8427ec09b};
constexpr std::uint64_t kKeyLifeMs = 65'536;

TEST(SourceCircle, AddressesOfBothFamiliesAreReadWhole) {
  const std::array<std::uint8_t, 16> address{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  for (const bool ipv6 : {false, true}) {
    const SourceWords words = source_words(address.data(), ipv6);
    for (std::size_t i = 0; i < address.size(); ++i) {
      std::array<std::uint8_t, 16> other = address;
      other[i] ^= 1;
      EXPECT_EQ(source_words(other.data(), ipv6) == words, !ipv6 && i >= 4) << i;
    }
  }
}

TEST(SourceCircle, PlacesHoldForOneKeyAndAreSpreadEvenly) {
  SourceCircle circle(kKey);
  circle.set_time(0);
  std::array<unsigned, 16> sixteenths{};
  std::set<std::uint32_t> places;
  for (std::uint64_t a = 0; a < 16'000; ++a) {
    const std::uint32_t place = SourceCircle::place_of(circle.hash_of({a, 0}));
    ++sixteenths[place >> 28];
    places.insert(place);
  }
  EXPECT_GT(places.size(), 15'900U);
  for (const unsigned n : sixteenths) EXPECT_NEAR(n, 1000U, 150U);

  const std::uint64_t before = circle.hash_of({7, 0});
  circle.set_time(kKeyLifeMs - 1);
  EXPECT_EQ(circle.hash_of({7, 0}), before);
  circle.set_time(kKeyLifeMs);
  EXPECT_NE(circle.hash_of({7, 0}), before);
}

TEST(SourceCircle, TheEdgeTurnsThreeSixteenthsInASecond) {
  SourceCircle circle(kKey);
  circle.set_time(0);
  EXPECT_EQ(circle.behind_edge(100), 100U);
  circle.set_time(1000);
  EXPECT_EQ(
      circle.behind_edge(0),
      static_cast<std::uint32_t>(-1000 * static_cast<std::int64_t>(SourceCircle::kTurnPerMs)));
  EXPECT_NEAR(1000.0 * static_cast<double>(SourceCircle::kTurnPerMs), 0x1p32 * 3 / 16, 1000.0);
}

}  // namespace
}  // namespace synproxy
