// SPDX-License-Identifier: BSD-3-Clause
// Every record can be used, whatever the size of the table and however bad the hashes.
#include <gtest/gtest.h>

#include <vector>

#include "support/rounds.h"
#include "synproxy/flow/table.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::hash_of;
using test::ipv4_key;
using test::ipv6_key;
using test::scrambled;

void expect_fills_to_the_last_record(std::uint32_t capacity) {
  FlowTable table(capacity);
  std::vector<bool> used(capacity);
  for (std::uint32_t n = 0; n < capacity; ++n) {
    const FlowKey key = ipv4_key(n);
    const FlowIndex index = table.insert(key, hash_of(key));
    ASSERT_LT(index, capacity) << "insert " << n << " of " << capacity;
    ASSERT_FALSE(used[index]);
    used[index] = true;
  }
  EXPECT_EQ(table.size(), capacity);
  EXPECT_EQ(table.insert(ipv4_key(capacity), hash_of(ipv4_key(capacity))), kNoFlow);
  EXPECT_EQ(table.size(), capacity);
  for (std::uint32_t n = 0; n < capacity; ++n) {
    const FlowIndex index = table.find(ipv4_key(n), hash_of(ipv4_key(n)));
    ASSERT_LT(index, capacity) << n;
    ASSERT_EQ(table.key_of(index), ipv4_key(n));
  }
  for (std::uint32_t n = 0; n < 1000; ++n) {
    const FlowKey stranger = ipv4_key(std::uint64_t{capacity} + n);
    ASSERT_EQ(table.find(stranger, hash_of(stranger)), kNoFlow);
  }
  for (std::uint32_t n = 0; n < capacity; ++n) {
    table.erase(table.find(ipv4_key(n), hash_of(ipv4_key(n))), hash_of(ipv4_key(n)));
  }
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.displaced(), 0U);
}

TEST(FlowFill, TinyTables) {
  for (const std::uint32_t capacity : {1U, 2U, 3U, 16U, 17U, 100U}) {
    expect_fills_to_the_last_record(capacity);
  }
}

TEST(FlowFill, AMillion) { expect_fills_to_the_last_record(test::rounds(1000000U)); }

TEST(FlowFill, FewEntriesOfAFullTableAreDisplaced) {
  constexpr std::uint32_t kFlows = 300000;
  FlowTable table(kFlows);
  for (std::uint32_t n = 0; n < kFlows; ++n) {
    ASSERT_NE(table.insert(ipv4_key(n), hash_of(ipv4_key(n))), kNoFlow);
  }
  EXPECT_GT(table.displaced(), 0U);
  EXPECT_LT(table.displaced(), kFlows / 140);
}

TEST(FlowFill, StaysFullUnderReplacement) {
  constexpr std::uint32_t kFlows = 20000;
  FlowTable table(kFlows);
  for (std::uint32_t n = 0; n < kFlows; ++n) {
    ASSERT_NE(table.insert(ipv6_key(n), hash_of(ipv6_key(n))), kNoFlow);
  }
  for (std::uint32_t n = 0; n < 10 * kFlows; ++n) {
    const FlowKey old_key = ipv6_key(n);
    table.erase(table.find(old_key, hash_of(old_key)), hash_of(old_key));
    const FlowKey new_key = ipv6_key(std::uint64_t{n} + kFlows);
    ASSERT_NE(table.insert(new_key, hash_of(new_key)), kNoFlow) << n;
  }
  EXPECT_LT(table.displaced(), kFlows / 30);
}

// The hashes below are made up; without the IndexKey nobody could produce them.

TEST(FlowFill, OneBucketAndOneTagTakeTwoBucketsAndThenRefuse) {
  FlowTable table(1000);
  constexpr std::uint64_t kHash = 0x123456789abcdef0U;
  std::uint32_t inserted = 0;
  while (inserted < 1000 && table.insert(ipv4_key(inserted), kHash) != kNoFlow) ++inserted;
  EXPECT_EQ(inserted, 2 * kBucketSlots);
  EXPECT_EQ(table.size(), inserted);
  for (std::uint32_t n = 0; n < 1000; ++n) {
    ASSERT_EQ(table.find(ipv4_key(n), kHash) != kNoFlow, n < inserted) << n;
  }
  // Other keys are not harmed, and freed room is used.
  ASSERT_NE(table.insert(ipv6_key(1), hash_of(ipv6_key(1))), kNoFlow);
  table.erase(table.find(ipv4_key(4), kHash), kHash);
  EXPECT_NE(table.insert(ipv4_key(5000), kHash), kNoFlow);
  EXPECT_EQ(table.insert(ipv4_key(5001), kHash), kNoFlow);
}

TEST(FlowFill, OneHomeBucketWithManyTagsIsSpreadOverTheTable) {
  constexpr std::uint32_t kKeys = 5000;
  FlowTable table(20000);
  const auto hash = [](std::uint32_t n) { return std::uint64_t{7} << 56 | (n + 1); };
  for (std::uint32_t n = 0; n < kKeys; ++n) {
    ASSERT_NE(table.insert(ipv4_key(n), hash(n)), kNoFlow) << n;
  }
  EXPECT_EQ(table.displaced(), kKeys - kBucketSlots);
  for (std::uint32_t n = 0; n < kKeys; ++n) {
    const FlowIndex index = table.find(ipv4_key(n), hash(n));
    ASSERT_NE(index, kNoFlow) << n;
    table.erase(index, hash(n));
    ASSERT_EQ(table.find(ipv4_key(n), hash(n)), kNoFlow) << n;
  }
  EXPECT_EQ(table.displaced(), 0U);
}

// What prefetch_record() says, and the second look where it asks for one.
bool may_hold(const FlowTable& table, std::uint64_t hash) {
  switch (table.prefetch_record(hash)) {
    case FlowTable::Maybe::kNowhere:
      return false;
    case FlowTable::Maybe::kHome:
      return true;
    case FlowTable::Maybe::kElsewhere:
      break;
  }
  return table.may_be_elsewhere(hash);
}

TEST(FlowFill, CrowdedHomesMoveEntriesUntilEachHasAPlace) {
  // 375 buckets, 2,000 keys, but homes in 100 of them only: twice what those can hold.
  FlowTable table(2000);
  const auto hash = [](std::uint64_t n) {
    const std::uint64_t random = scrambled(n);
    return (random % 100 << 32) / 375 * 4294967296U + (random >> 40 & 0xffffU);
  };
  std::uint32_t inserted = 0;
  for (std::uint32_t n = 0; n < 2000; ++n) {
    if (table.insert(ipv4_key(n), hash(n)) != kNoFlow) ++inserted;
  }
  EXPECT_EQ(inserted, 2000U);
  EXPECT_GT(table.displaced(), 1000U);
  for (std::uint32_t n = 0; n < 2000; ++n) {
    ASSERT_NE(table.find(ipv4_key(n), hash(n)), kNoFlow);
    ASSERT_TRUE(may_hold(table, hash(n))) << n;
  }
  // Of others, most homes have displaced an entry. The tags of two buckets tell nearly all apart.
  std::uint32_t doubtful = 0;
  std::uint32_t held = 0;
  for (std::uint32_t n = 10'000; n < 12'000; ++n) {
    doubtful += table.prefetch_record(hash(n)) != FlowTable::Maybe::kNowhere ? 1U : 0U;
    held += may_hold(table, hash(n)) ? 1U : 0U;
  }
  EXPECT_GT(doubtful, 1900U);
  EXPECT_LT(held, 10U);
  for (std::uint32_t n = 0; n < 2000; ++n) table.erase(table.find(ipv4_key(n), hash(n)), hash(n));
  EXPECT_EQ(table.displaced(), 0U);
}

}  // namespace
}  // namespace synproxy
