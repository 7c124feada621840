// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/retry_queue.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(RetryQueue, GivesBackInOrderWhatIsDue) {
  RetryQueue q(16);
  RetryQueue::Entry e{};
  EXPECT_FALSE(q.pop_due(0, e));
  for (std::uint32_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(q.push({.flow = i, .cookie = i * 7, .tsecr = i * 9, .deadline_ms = 100 + i * 10}));
  }
  EXPECT_EQ(q.size(), 5U);
  EXPECT_FALSE(q.pop_due(99, e));
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(q.pop_due(120, e));
    EXPECT_EQ(e.flow, i);
    EXPECT_EQ(e.cookie, i * 7);
    EXPECT_EQ(e.tsecr, i * 9);
  }
  EXPECT_FALSE(q.pop_due(120, e)) << "the next is due at 130";
  EXPECT_TRUE(q.pop_due(0x7fffffff, e));
  EXPECT_EQ(q.size(), 1U);
}

TEST(RetryQueue, RefusesWhenFullAndGoesOn) {
  RetryQueue q(5);  // eight
  RetryQueue::Entry e{};
  for (std::uint32_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(q.push({.flow = i, .cookie = 0, .tsecr = 0, .deadline_ms = 0}));
  }
  EXPECT_FALSE(q.push({.flow = 8, .cookie = 0, .tsecr = 0, .deadline_ms = 0}));
  EXPECT_EQ(q.size(), 8U);
  for (std::uint32_t round = 0; round < 100; ++round) {
    ASSERT_TRUE(q.pop_due(0, e));
    EXPECT_EQ(e.flow, round);
    ASSERT_TRUE(q.push({.flow = round + 8, .cookie = 0, .tsecr = 0, .deadline_ms = 0}));
  }
}

TEST(RetryQueue, ClockMayWrap) {
  RetryQueue q(4);
  RetryQueue::Entry e{};
  EXPECT_TRUE(q.push({.flow = 1, .cookie = 0, .tsecr = 0, .deadline_ms = 50}));  // 0x100000032
  EXPECT_FALSE(q.pop_due(0xfffffff0U, e));
  EXPECT_FALSE(q.pop_due(49, e));
  EXPECT_TRUE(q.pop_due(50, e));
}

}  // namespace
}  // namespace synproxy
