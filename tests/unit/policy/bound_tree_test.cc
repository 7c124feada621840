// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/bound_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace synproxy {
namespace {

template <typename Number>
class BoundTreeOf : public testing::Test {};
using Numbers = testing::Types<std::int32_t, std::uint64_t>;
TYPED_TEST_SUITE(BoundTreeOf, Numbers);

// Sizes around whole nodes and whole levels, and numbers at both ends of the type.
TYPED_TEST(BoundTreeOf, CountsAsTheSortedRowDoes) {
  using Limits = std::numeric_limits<TypeParam>;
  std::mt19937_64 random(3);
  for (const std::size_t size :
       {1U, 2U, 7U, 8U, 9U, 15U, 16U, 17U, 63U, 64U, 65U, 255U, 256U, 257U, 5000U}) {
    std::vector<TypeParam> row;
    for (std::size_t i = 0; i < size; ++i) row.push_back(static_cast<TypeParam>(random()));
    if (size > 2) row[0] = Limits::min();
    if (size > 8) row[1] = Limits::max();
    std::ranges::sort(row);
    const BoundTree<TypeParam> tree{std::span<const TypeParam>(row)};
    ASSERT_EQ(tree.size(), size);
    std::vector<TypeParam> sought{Limits::min(), Limits::max(), row.front(), row.back()};
    for (std::size_t i = 0; i < 28; ++i) {
      sought.push_back(i % 2 == 0 ? row[random() % size] : static_cast<TypeParam>(random()));
    }
    std::vector<std::uint32_t> counts(sought.size());
    tree.count(sought, counts.data());
    for (std::size_t i = 0; i < sought.size(); ++i) {
      EXPECT_EQ(counts[i], std::ranges::upper_bound(row, sought[i]) - row.begin())
          << size << " numbers, " << sought[i];
    }
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(tree[i], row[i]);
  }
}

TYPED_TEST(BoundTreeOf, OfNothingIsEmpty) {
  const BoundTree<TypeParam> tree{std::span<const TypeParam>()};
  EXPECT_TRUE(tree.empty());
  EXPECT_EQ(tree.size(), 0U);
  EXPECT_EQ(tree.bytes(), 0U);
  EXPECT_TRUE(tree == BoundTree<TypeParam>());
}

}  // namespace
}  // namespace synproxy
