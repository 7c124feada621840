// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/per_second.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(PerSecond, EachSecondHasItsShare) {
  PerSecond three(3);
  for (int second = 0; second < 3; ++second) {
    const auto now = static_cast<std::uint32_t>(1000 + 1000 * second);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(three.take(now + 400U * static_cast<unsigned>(i)));
    EXPECT_FALSE(three.take(now + 999));
  }
}

TEST(PerSecond, WhatIsLeftIsNotSaved) {
  PerSecond two(2);
  EXPECT_TRUE(two.take(1000));
  EXPECT_TRUE(two.take(60'000));
  EXPECT_TRUE(two.take(60'000));
  EXPECT_FALSE(two.take(60'000));
}

TEST(PerSecond, TheClockMayPassItsEnd) {
  PerSecond one(1);
  EXPECT_TRUE(one.take(0xffffff00U));
  EXPECT_FALSE(one.take(100));  // 356 ms later
  EXPECT_TRUE(one.take(1000));
}

TEST(PerSecond, NoneIsNone) { EXPECT_FALSE(PerSecond(0).take(5000)); }

}  // namespace
}  // namespace synproxy
