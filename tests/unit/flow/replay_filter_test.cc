// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/replay_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "support/rounds.h"

namespace synproxy {
namespace {

std::vector<std::uint64_t> fingerprints(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> result(count);
  for (auto& f : result) f = random();
  return result;
}

double false_positives(std::uint32_t expected, std::uint32_t inserted) {
  ReplayFilter filter(expected);
  for (const std::uint64_t f : fingerprints(inserted, 1)) filter.insert(5, f);
  std::uint32_t hits = 0;
  constexpr std::uint32_t kTries = test::rounds(1000000U);
  for (const std::uint64_t f : fingerprints(kTries, 2)) hits += filter.contains(5, f) ? 1 : 0;
  return hits / static_cast<double>(kTries);
}

TEST(ReplayFilter, EmptyFilterContainsNothing) {
  const ReplayFilter filter(1000);
  for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
    for (const std::uint64_t f : fingerprints(100, 3)) ASSERT_FALSE(filter.contains(epoch, f));
    ASSERT_FALSE(filter.contains(epoch, 0));
  }
}

TEST(ReplayFilter, ForgetsNothingUpToOneAndAHalfTimesTheExpectedLoad) {
  for (const std::uint32_t expected : {2U, 31U, 1000U, 100000U}) {
    ReplayFilter filter(expected);
    const auto all = fingerprints(expected + expected / 2, 4);
    for (const std::uint64_t f : all) filter.insert(77, f);
    for (const std::uint64_t f : all) ASSERT_TRUE(filter.contains(77, f));
  }
}

TEST(ReplayFilter, OverfullEpochAnswersNoUntilItIsPast) {
  ReplayFilter filter(1000);
  const auto all = fingerprints(1501, 8);
  for (const std::uint64_t f : all) filter.insert(77, f);
  filter.insert(78, all[0]);
  for (const std::uint64_t f : all) ASSERT_FALSE(filter.contains(77, f));
  EXPECT_TRUE(filter.contains(78, all[0])) << "each epoch counts for itself";
  filter.insert(80, all[1]);
  EXPECT_TRUE(filter.contains(80, all[1])) << "the slot of epoch 77 starts from nothing";
}

TEST(ReplayFilter, OneThatExpectsNothingAnswersNo) {
  ReplayFilter filter(0);
  filter.insert(1, 1);
  EXPECT_FALSE(filter.contains(1, 1));
}

TEST(ReplayFilter, ThreeEpochsLiveSideBySide) {
  ReplayFilter filter(1000);
  const auto all = fingerprints(3000, 5);
  for (std::size_t i = 0; i < all.size(); ++i) filter.insert(100 + i % 3, all[i]);
  std::size_t in_foreign_epochs = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(filter.contains(100 + i % 3, all[i]));
    in_foreign_epochs += filter.contains(100 + (i + 1) % 3, all[i]) ? 1U : 0U;
  }
  EXPECT_LT(in_foreign_epochs, 20U);
}

TEST(ReplayFilter, NewEpochTakesTheSlotOverEmpty) {
  ReplayFilter filter(1000);
  const auto old_ones = fingerprints(1000, 6);
  for (const std::uint64_t f : old_ones) filter.insert(9, f);
  for (const std::uint64_t f : old_ones) ASSERT_FALSE(filter.contains(12, f));
  filter.insert(12, 0x123456789abcdef0U);
  EXPECT_TRUE(filter.contains(12, 0x123456789abcdef0U));
  for (const std::uint64_t f : old_ones) {
    ASSERT_FALSE(filter.contains(9, f)) << "the epoch is past";
    // One entry sets eight bits of one line.
    ASSERT_FALSE(filter.contains(12, f)) << "the slot was to be empty";
  }
  // Fill all lines again: nothing of the old epoch may remain in them.
  const auto new_ones = fingerprints(1000, 7);
  for (const std::uint64_t f : new_ones) filter.insert(12, f);
  for (const std::uint64_t f : new_ones) ASSERT_TRUE(filter.contains(12, f));
  std::size_t left_over = 0;
  for (const std::uint64_t f : old_ones) left_over += filter.contains(12, f) ? 1U : 0U;
  EXPECT_LT(left_over, 10U);
}

TEST(ReplayFilter, PastEpochIsIgnored) {
  ReplayFilter filter(1000);
  filter.insert(12, 1);
  filter.insert(9, 2);
  EXPECT_TRUE(filter.contains(12, 1));
  EXPECT_FALSE(filter.contains(9, 2));
  EXPECT_FALSE(filter.contains(12, 2));
}

TEST(ReplayFilter, FalsePositivesKeepTheStatedRates) {
  EXPECT_LT(false_positives(100000, 100000), kReplayFalsePositives);
  EXPECT_LT(false_positives(100000, 75000), kReplayFalsePositives / 3);
  EXPECT_LT(false_positives(100000, 150000), 0.011);
}

TEST(ReplayFilter, TakesTwoBytesForEachExpectedEntryOfThreeEpochs) {
  EXPECT_EQ(ReplayFilter(320000).bytes(), 320000U * 2 * 3);
}

// By one that expects as much, more, or less.
TEST(ReplayFilter, ForgetsNothingOnItsWayToAnother) {
  for (const std::uint32_t expected : {1000U, 1700U, 1023U, 64000U, 900U}) {
    ReplayFilter from(1000);
    const auto all = fingerprints(1000, 11);
    ReplayFilter to(expected);
    const std::uint64_t before = fingerprints(1, 12)[0];
    to.insert(78, before);
    std::vector<std::uint64_t> seen(from.lines());
    ReplayEntries entries;
    for (const std::size_t more : {std::size_t{1}, std::size_t{2}}) {  // passes
      for (std::size_t i = more - 1; i < all.size(); i += 2) from.insert(77 + i / 2 % 2, all[i]);
      from.settle();
      std::vector<std::uint32_t> lines(from.lines());
      lines.resize(from.find_changed(seen, 0, from.lines(), 78, lines));
      EXPECT_FALSE(lines.empty());
      for (const std::uint32_t line : lines) to.adopt(from.carry(line, seen, entries), 78);
      EXPECT_EQ(from.find_changed(seen, 0, from.lines(), 78, lines), 0U);
    }
    EXPECT_TRUE(to.contains(78, before));
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_TRUE(to.contains(77 + i / 2 % 2, all[i]));
    std::uint32_t hits = 0;
    for (const std::uint64_t f : fingerprints(10'000, 13)) hits += to.contains(77, f) ? 1 : 0;
    EXPECT_LT(hits, 100U) << "and holds little else";
  }
}

TEST(ReplayFilter, AdoptsNoLineThatCannotBe) {
  ReplayFilter to(1000);
  CarriedReplay line{.epoch = 77, .entries = ~0ULL, .line = 3, .lines = 3, .bits = {}, .unused = 0};
  line.bits.fill(~0U);
  to.adopt(line, 77);  // there is no line 3 of 3
  line = {.epoch = 70, .entries = 1, .line = 0, .lines = 1, .bits = line.bits, .unused = 0};
  to.adopt(line, 77);  // an epoch that is past
  line.epoch = 90;     // and one to come
  to.adopt(line, 77);
  for (const std::uint64_t epoch : {70U, 77U, 90U}) EXPECT_FALSE(to.contains(epoch, 42));
}

}  // namespace
}  // namespace synproxy
