// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/idle.h"

#include <gtest/gtest.h>

namespace synproxy::dataplane {
namespace {

using What = IdleBackOff::Step::What;

constexpr std::uint64_t kPerUs = 3000;
constexpr std::uint64_t kBegin = 1'000'000'000;

constexpr std::uint64_t us(std::uint64_t n) { return n * kPerUs; }

IdleBackOff back_off(IdleLimit limit) { return {kPerUs * 1'000'000, limit}; }

TEST(TicksToUs, CountsThroughYearsOfSleep) {
  constexpr std::uint64_t kHz = 2'600'000'123;
  for (const std::uint64_t seconds : {0U, 1U, 7094U, 7095U, 7096U, 100'000U, 100'000'000U}) {
    EXPECT_EQ(ticks_to_us(seconds * kHz, kHz), seconds * 1'000'000) << seconds;
    EXPECT_EQ(ticks_to_us(seconds * kHz + kHz / 2, kHz), seconds * 1'000'000 + 499'999) << seconds;
  }
}

struct Row {
  const char* sentence;
  IdleLimit limit;
  std::uint64_t silence_us;
  What what;
  std::uint64_t sleep_us;
};

TEST(IdleBackOff, SilenceDecidesWhatComesNext) {
  const Row rows[] = {
      {"just after a frame it looks again", {50, false}, 0, What::kLookAgain, 0},
      {"more is near for a while", {50, false}, 49, What::kLookAgain, 0},
      {"a quarter of the silence", {50, false}, 60, What::kSleep, 15},
      {"a longer silence, a longer sleep", {50, false}, 120, What::kSleep, 30},
      {"never longer than the limit", {50, false}, 300, What::kSleep, 50},
      {"not in the night either", {50, false}, 3'600'000'000, What::kSleep, 50},
      {"another limit", {500, false}, 1000, What::kSleep, 250},
      {"a limit below the first slice", {4, false}, 50, What::kSleep, 4},
      {"woken by frames it spins too", {1000, true}, 49, What::kLookAgain, 0},
      {"and sleeps until the next tick at once", {1000, true}, 50, What::kSleep, 1000},
      {"no sleep, but others may have the CPU", {0, false}, 50, What::kYield, 0},
      {"never", {0, false}, 3'600'000'000, What::kYield, 0},
  };
  for (const Row& row : rows) {
    IdleBackOff idle = back_off(row.limit);
    idle.busy(kBegin, 1);
    const auto step = idle.next(kBegin + us(row.silence_us));
    EXPECT_EQ(step.what, row.what) << row.sentence;
    EXPECT_EQ(step.ticks, us(row.sleep_us)) << row.sentence;
  }
}

TEST(IdleBackOff, WorkerThatNeverSawAFrameSleepsTheLongest) {
  IdleBackOff idle = back_off({50, false});
  EXPECT_EQ(idle.next(kBegin).ticks, us(50));
}

TEST(IdleBackOff, AFrameEndsTheSilence) {
  IdleBackOff idle = back_off({50, false});
  ASSERT_EQ(idle.next(kBegin).ticks, us(50));
  idle.busy(kBegin + us(50), 1);
  EXPECT_EQ(idle.next(kBegin + us(51)).what, What::kLookAgain);
  EXPECT_EQ(idle.next(kBegin + us(50 + 60)).ticks, us(15)) << "and the back-off starts again";
}

// From the first frame until the limit is reached, no frame waits longer than a quarter of the
// silence before it.
TEST(IdleBackOff, SlicesGrowWithTheSilence) {
  IdleBackOff idle = back_off({500, false});
  idle.busy(kBegin, 1);
  std::uint64_t now = kBegin;
  std::uint64_t last = 0;
  unsigned sleeps = 0;
  while (last < us(500)) {
    const auto step = idle.next(now);
    if (step.what == What::kSleep) {
      EXPECT_LE(step.ticks * 4, std::max(now - kBegin, us(50)));
      EXPECT_GE(step.ticks, last);
      last = step.ticks;
      ++sleeps;
    }
    now += step.what == What::kSleep ? step.ticks : us(1);
  }
  EXPECT_LT(sleeps, 25U);
}

struct Found {
  const char* sentence;
  bool slept;
  unsigned frames;
  bool awake;
};

TEST(IdleBackOff, FullBurstAfterASleepKeepsItAwake) {
  const Found rows[] = {
      {"a full burst after a sleep", true, kMaxBurst, true},
      {"more than one", true, 1000, true},
      {"a few frames", true, kMaxBurst - 1, false},
      {"a full burst of a worker that was awake", false, kMaxBurst, false},
  };
  for (const Found& row : rows) {
    IdleBackOff idle = back_off({50, false});
    idle.busy(kBegin, 1);
    if (row.slept) static_cast<void>(idle.next(kBegin + us(100)));
    idle.busy(kBegin + us(150), row.frames);
    EXPECT_EQ(idle.next(kBegin + us(9'000)).what, row.awake ? What::kYield : What::kSleep)
        << row.sentence;
    EXPECT_EQ(idle.next(kBegin + us(10'151)).what, What::kSleep) << row.sentence;
  }
}

TEST(IdleBackOff, LimitFollowsTheReceiveQueue) {
  EXPECT_EQ(sleep_for_ring(50, 1024), 50U);
  EXPECT_EQ(sleep_for_ring(50, 256), 12U);
  EXPECT_EQ(sleep_for_ring(50, 4096), 50U) << "never more than was asked for";
  EXPECT_EQ(sleep_for_ring(50, 0), 0U) << "unknown: it must be looked at";
  EXPECT_EQ(sleep_for_ring(1000, 1U << 31), 1000U);
  EXPECT_EQ(sleep_for_ring(0, 1024), 0U);
}

}  // namespace
}  // namespace synproxy::dataplane
