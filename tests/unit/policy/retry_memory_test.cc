// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/retry_memory.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace synproxy {
namespace {

constexpr std::uint64_t kGeneration = RetryMemory::kGenerationMs;
constexpr std::size_t kLines = 1024;
constexpr std::size_t kPace = kLines * RetryMemory::kEntriesPerLine;  // of a generation

struct Mark {
  std::uint32_t place;
  std::uint64_t mark;
};

std::vector<Mark> marks(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<Mark> result(count);
  for (Mark& m : result) m = {static_cast<std::uint32_t>(random()), random()};
  return result;
}

// Shows a memory `all` marks, evenly over the generation that begins at `from_ms`. Returns how many
// it knew.
std::size_t tell(RetryMemory& memory, const std::vector<Mark>& all, std::uint64_t from_ms) {
  std::size_t known = 0;
  std::size_t next = 0;
  for (std::uint64_t ms = 0; ms < kGeneration; ++ms) {
    memory.set_time(from_ms + ms);
    for (; next < all.size() * (ms + 1) / kGeneration; ++next) {
      const Mark& m = all[next];
      if (memory.concerns(m.place) && memory.asked_again(m.place, m.mark)) ++known;
    }
  }
  return known;
}

TEST(RetryMemory, KnowsWhatComesAgainOneOrTwoSecondsLater) {
  for (const std::uint64_t later : {1000U, 1060U, 1500U, 1800U}) {
    for (std::uint64_t at = 5000; at < 5000 + kGeneration; at += 7) {
      RetryMemory memory(kLines);
      memory.set_time(at);
      ASSERT_FALSE(memory.asked_again(1, 0x123456789abcdefU));
      memory.set_time(at + later);
      ASSERT_TRUE(memory.asked_again(1, 0x123456789abcdefU)) << at << " + " << later;
    }
  }
}

TEST(RetryMemory, WhatComesTwiceAtOnceIsNoRepeat) {
  RetryMemory memory(kLines);
  memory.set_time(kGeneration * 7);
  EXPECT_FALSE(memory.asked_again(1, 99));
  memory.set_time(kGeneration * 7 + kGeneration - 1);
  EXPECT_FALSE(memory.asked_again(1, 99)) << "the same generation";
}

TEST(RetryMemory, ForgetsAfterThreeGenerations) {
  for (const std::uint64_t generations : {3U, 4U, 5U, 8U, 12U, 1000U}) {
    RetryMemory memory(kLines);
    memory.set_time(kGeneration * 7);
    EXPECT_FALSE(memory.asked_again(1, 99));
    memory.set_time(kGeneration * (7 + generations));
    EXPECT_FALSE(memory.asked_again(1, 99)) << generations;
  }
}

TEST(RetryMemory, KnowsNothingAtTheStart) {
  RetryMemory memory(kLines);
  for (const std::uint64_t ms : {0U, 1U, 899U, 900U, 1800U, 2700U}) {
    memory.set_time(ms);
    for (const Mark& m : marks(100, static_cast<unsigned>(ms))) {
      ASSERT_FALSE(memory.asked_again(m.place, m.mark)) << ms;
    }
  }
}

TEST(RetryMemory, StrangersAreSeldomTakenForRepeats) {
  RetryMemory memory(kLines);
  static_cast<void>(tell(memory, marks(kPace, 1), kGeneration * 10));
  static_cast<void>(tell(memory, marks(kPace, 2), kGeneration * 11));
  const auto strangers = marks(kPace, 3);
  const std::size_t known = tell(memory, strangers, kGeneration * 12);
  EXPECT_LE(static_cast<double>(known) / kPace, 1.1 * kRetryFalsePositives);
  EXPECT_GT(known, 0U) << "two filters that full must err sometimes";
}

TEST(RetryMemory, UpToItsPaceItNotesEverybody) {
  RetryMemory memory(kLines);
  const auto all = marks(kPace * 9 / 10, 4);
  static_cast<void>(tell(memory, all, kGeneration * 10));
  EXPECT_EQ(tell(memory, all, kGeneration * 11), all.size());
}

// With twenty times as many, it notes as many as before, the same ones for a whole generation, and
// knows them again.
TEST(RetryMemory, AboveItsPaceItNotesAWindowOfSourcesAndStaysTrustworthy) {
  RetryMemory memory(kLines);
  for (std::uint64_t g = 10; g < 14; ++g) {
    static_cast<void>(tell(memory, marks(20 * kPace, static_cast<unsigned>(g)), g * kGeneration));
  }
  EXPECT_NEAR(memory.width() / 4294967296.0, 1 / 20.0, 0.01);
  const auto strangers = marks(20 * kPace, 77);
  const std::size_t known = tell(memory, strangers, kGeneration * 14);
  // The sources of three windows are asked for.
  EXPECT_LE(static_cast<double>(known) / static_cast<double>(strangers.size()),
            3.0 / 20 * 1.3 * kRetryFalsePositives);
  const std::size_t again = tell(memory, strangers, kGeneration * 15);
  EXPECT_GE(again, kPace * 8 / 10);
}

TEST(RetryMemory, WindowMovesOnWithEachGenerationAndGoesAround) {
  RetryMemory memory(kLines);
  std::vector<bool> noted(64);
  for (std::uint64_t g = 10; g < 10 + 40; ++g) {
    static_cast<void>(tell(memory, marks(20 * kPace, static_cast<unsigned>(g)), g * kGeneration));
    for (std::uint32_t i = 0; i < noted.size(); ++i) {
      noted[i] = noted[i] || memory.concerns(i << 26);
    }
  }
  for (std::uint32_t i = 0; i < noted.size(); ++i) EXPECT_TRUE(noted[i]) << i;
}

TEST(RetryMemory, NotesLessWhileItsOwnerIsBehind) {
  RetryMemory memory(kLines);
  for (std::uint64_t ms = 1; ms <= 200; ++ms) memory.set_time(ms, true);
  EXPECT_LT(memory.width(), 0x00800000U);
  EXPECT_GT(memory.width(), 0U) << "somebody is always noted";
  for (std::uint64_t ms = 201; ms <= 3000; ++ms) memory.set_time(ms);
  EXPECT_EQ(memory.width(), 0xffffffffU);
}

// A worker that lost its CPU for a moment, or is at its limit, still needs its memory.
TEST(RetryMemory, NotesAsManyWhileItsOwnerIsBehindNowAndThen) {
  RetryMemory memory(kLines);
  for (std::uint64_t ms = 1; ms <= 1000; ++ms) memory.set_time(ms, ms % 10 < 4);
  EXPECT_EQ(memory.width(), 0xffffffffU);
}

TEST(RetryMemory, WindowIsWholeAgainAfterAFlood) {
  RetryMemory memory(kLines);
  static_cast<void>(tell(memory, marks(20 * kPace, 5), kGeneration * 10));
  EXPECT_LT(memory.width(), 0x20000000U);
  for (std::uint64_t ms = kGeneration * 11; ms < kGeneration * 13; ++ms) memory.set_time(ms);
  EXPECT_EQ(memory.width(), 0xffffffffU);
}

}  // namespace
}  // namespace synproxy
