// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/known_sources.h"

#include <gtest/gtest.h>

#include <memory>

namespace synproxy {
namespace {

constexpr std::uint64_t kSource = 0x0123456789abcdef;
constexpr std::uint64_t kNow = 5'000'000;

TEST(KnownSources, RemembersWhatItHasLearnedForItsLife) {
  const auto known = std::make_unique<KnownSources>();
  EXPECT_FALSE(known->knows(kSource, kNow));
  known->learn(kSource, kNow);
  EXPECT_TRUE(known->knows(kSource, kNow));
  EXPECT_TRUE(known->knows(kSource, kNow + KnownSources::kLifeMs - 1));
  EXPECT_FALSE(known->knows(kSource, kNow + KnownSources::kLifeMs));
  known->learn(kSource, kNow + KnownSources::kLifeMs);
  EXPECT_TRUE(known->knows(kSource, kNow + KnownSources::kLifeMs));
}

TEST(KnownSources, TellsSourcesOfOnePlaceApart) {
  const auto known = std::make_unique<KnownSources>();
  const std::uint64_t neighbour = kSource ^ 1ULL << 40;  // the same lower bits choose the place
  known->learn(kSource, kNow);
  EXPECT_FALSE(known->knows(neighbour, kNow));
  known->learn(neighbour, kNow);
  EXPECT_TRUE(known->knows(neighbour, kNow));
  EXPECT_FALSE(known->knows(kSource, kNow)) << "the place is the last one's";
}

TEST(KnownSources, AnEmptyPlaceIsNobodys) {
  const auto known = std::make_unique<KnownSources>();
  EXPECT_FALSE(known->knows(0, 0));
  known->learn(0, 0);
  EXPECT_TRUE(known->knows(0, 0));
}

}  // namespace
}  // namespace synproxy
