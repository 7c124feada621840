// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/bucket.h"

#include <gtest/gtest.h>

#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

TEST(Bucket, ZeroedMemoryIsEmpty) {
  const FlowBucket bucket;
  EXPECT_EQ(match_tags(bucket, 0), (1U << kBucketSlots) - 1);
  EXPECT_EQ(match_tags(bucket, 1), 0U);
}

TEST(Bucket, TagIsNeverTheMarkOfAnEmptySlot) {
  for (std::uint64_t hash = 0; hash < 0x20000; ++hash) ASSERT_NE(tag_of(hash), 0);
}

TEST(Bucket, TagIsTheLowHalfWord) { EXPECT_EQ(tag_of(0xaaaabbbbcccc1234U), 0x1234); }

TEST(Bucket, MatchFindsEachSlotAlone) {
  for (std::uint32_t slot = 0; slot < kBucketSlots; ++slot) {
    FlowBucket bucket;
    bucket.tags[slot] = 0xfffe;
    EXPECT_EQ(match_tags(bucket, 0xfffe), 1U << slot);
  }
}

TEST(Bucket, CountsAndRecordNumbersAreNotTakenForTags) {
  FlowBucket bucket;
  bucket.displaced = 0x1234;
  bucket.foreign = 0x1234;
  bucket.records.fill(0x12341234);
  EXPECT_EQ(match_tags(bucket, 0x1234), 0U);
}

TEST(Bucket, MatchAgreesWithThePortableLoop) {
  std::uint64_t drawn = 0;
  const auto random = [&] { return static_cast<std::uint16_t>(test::scrambled(++drawn)); };
  for (int round = 0; round < 100000; ++round) {
    FlowBucket bucket;
    // A few values around the sign bit, so that tags repeat within the line.
    const auto random_tag = [&] { return static_cast<std::uint16_t>(0x7ffe + random() % 4); };
    for (auto& tag : bucket.tags) tag = random_tag();
    bucket.displaced = random();
    bucket.foreign = random();
    const std::uint16_t wanted = random_tag();
    ASSERT_EQ(match_tags(bucket, wanted), match_tags_portable(bucket, wanted));
  }
}

}  // namespace
}  // namespace synproxy
