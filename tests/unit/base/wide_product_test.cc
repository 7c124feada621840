// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/wide_product.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(WideProduct, HasBothHalves) {
  constexpr Uint128 kLargest = wide_product(~0ULL, ~0ULL);  // (2^64 - 1)^2 = 2^128 - 2^65 + 1
  EXPECT_EQ(low_half(kLargest), 1U);
  EXPECT_EQ(high_half(kLargest), ~0ULL - 1);
  EXPECT_EQ(folded_product(~0ULL, ~0ULL), ~0ULL);
  EXPECT_EQ(folded_product(1ULL << 32, 3ULL << 32), 3U);
  EXPECT_EQ(folded_product(5, 7), 35U);
}

}  // namespace
}  // namespace synproxy
