// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/block_map.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace synproxy {
namespace {

TEST(BlockMap, KeepsWhatWasSetAndNothingElse) {
  using Holds = BlockMap::Holds;
  BlockMap map(100);
  std::vector<Holds> want(std::size_t{1} << map.bits(), Holds::kNothing);
  std::mt19937 random(5);
  for (int n = 0; n < 5000; ++n) {
    const std::size_t block = random() % want.size();
    want[block] = static_cast<Holds>(random() % 3);
    map.set(block, want[block]);
  }
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(map[i], want[i]) << i;
}

// Some sixteen blocks for each bound, so that few blocks hold a part; never more than 4 MB.
TEST(BlockMap, GrowsWithTheSetUpToABound) {
  for (const std::size_t bounds : {0UL, 1UL, 2UL, 1000UL, 1UL << 20}) {
    const BlockMap map(bounds);
    EXPECT_GE(std::size_t{1} << map.bits(), 8 * bounds) << bounds;
    EXPECT_EQ(map.bytes(), (std::size_t{1} << map.bits()) / 4);
  }
  EXPECT_EQ(BlockMap(std::size_t{1} << 31).bits(), BlockMap::kMostBits);
  EXPECT_EQ(BlockMap().bytes(), 0U);
}

}  // namespace
}  // namespace synproxy
