// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/share_control.h"

#include <gtest/gtest.h>

#include <cmath>

namespace synproxy {
namespace {

double of_whole(std::uint32_t share) { return share / 4294967296.0; }

// That many steps in which the queue does not run empty.
std::uint64_t stand(ShareControl& control, std::uint64_t ms, unsigned steps) {
  for (unsigned i = 0; i < steps; ++i) control.step(++ms, true, false);
  return ms;
}

TEST(ShareControl, EverythingIsAnsweredUntilTheQueueStands) {
  ShareControl control;
  for (std::uint64_t ms = 1; ms <= 100; ++ms) control.step(ms, false, ms % 2 == 0);
  EXPECT_TRUE(control.whole());
  std::uint64_t ms = stand(control, 100, ShareControl::kStandingSteps - 1);
  EXPECT_TRUE(control.whole());
  stand(control, ms, 1);
  EXPECT_FALSE(control.whole());
}

TEST(ShareControl, FallsWhileTheQueueStands) {
  ShareControl control;
  std::uint32_t last = control.share();
  std::uint64_t ms = stand(control, 0, ShareControl::kStandingSteps - 1);
  for (; ms < 30;) {
    ms = stand(control, ms, 1);
    EXPECT_LT(control.share(), last);
    last = control.share();
  }
  EXPECT_LT(of_whole(last), 0.05) << "a flood of twenty times is met within thirty steps";
}

// A worker that loses its CPU now and then finds a full ring each time, but has time again at once.
TEST(ShareControl, RefusalsOfAQueueThatRunsEmptyAreNoOverload) {
  ShareControl control;
  std::uint64_t ms = stand(control, 0, 20);
  const std::uint32_t share = control.share();
  for (int i = 0; i < 100; ++i) control.step(++ms, true, true);
  EXPECT_EQ(control.share(), share);
  // A stall of 5 ms every 50 ms: two steps that refuse and do not run empty.
  for (int i = 0; i < 40; ++i) {
    control.step(ms += 5, true, false);
    control.step(++ms, true, false);
    for (int j = 0; j < 44; ++j) control.step(++ms, false, true);
  }
  EXPECT_TRUE(control.whole());
}

TEST(ShareControl, StaysWhileTheQueueIsNeitherFullNorEmpty) {
  ShareControl control;
  std::uint64_t ms = stand(control, 0, 10);
  control.step(++ms, true, true);
  const std::uint32_t share = control.share();
  for (unsigned i = 1; i < ShareControl::kStandingSteps; ++i) control.step(++ms, false, false);
  EXPECT_EQ(control.share(), share);
}

TEST(ShareControl, WholeAgainWithinASecondOfTheEnd) {
  ShareControl control;
  std::uint64_t ms = 1;
  for (; ms <= 100; ++ms) control.step(ms, true, false);
  std::uint64_t needed = 0;
  for (; !control.whole() && needed < 2000; ++needed) control.step(ms++, false, true);
  EXPECT_GT(needed, 500U) << "slowly";
  EXPECT_LE(needed, 1000U);
}

// A worker that sleeps sees only some of the milliseconds.
TEST(ShareControl, RiseCountsTheTimeThatPassed) {
  ShareControl slept;
  const std::uint64_t begin = stand(slept, 0, 10);
  ShareControl awake = slept;
  slept.step(begin + 100, false, true);
  for (std::uint64_t ms = begin + 1; ms <= begin + 100; ++ms) awake.step(ms, false, true);
  EXPECT_EQ(slept.share(), awake.share());
  slept.step(1'000'000, false, true);
  EXPECT_TRUE(slept.whole());
}

TEST(ShareControl, OneStepAMillisecond) {
  ShareControl control;
  const std::uint64_t ms = stand(control, 0, 10);
  const std::uint32_t share = control.share();
  control.step(ms, true, false);
  EXPECT_EQ(control.share(), share);
}

// A given number of SYNs a millisecond arrives at a worker that answers a given number, through a
// queue of 1,024. The share settles at what can be answered, whatever the flood.
TEST(ShareControl, SettlesAtWhatCanBeAnswered) {
  for (const double flood : {1.2, 2.0, 5.0, 20.0}) {
    constexpr double kAnswered = 4000;
    ShareControl control;
    double queue = 0;
    double served = 0;
    double shares = 0;
    constexpr int kMs = 4000;
    constexpr int kSettled = 1000;
    for (int ms = 1; ms <= kMs; ++ms) {
      // Ten slices per millisecond, so that arrivals and answers interleave.
      bool refused = false;
      bool empty = false;
      for (int slice = 0; slice < 10; ++slice) {
        queue += kAnswered / 10 * flood * of_whole(control.share());
        const double done = std::min(queue, kAnswered / 10);
        queue -= done;
        if (queue > 1024) {
          refused = true;
          queue = 1024;
        }
        empty = empty || queue == 0;
        if (ms > kSettled) served += done;
      }
      if (ms > kSettled) shares += of_whole(control.share());
      control.step(static_cast<std::uint64_t>(ms), refused, empty);
    }
    const double share = shares / (kMs - kSettled);
    EXPECT_NEAR(share * flood, 1, 0.2) << flood;
    EXPECT_GT(served / (kMs - kSettled), 0.85 * kAnswered) << flood;
  }
}

}  // namespace
}  // namespace synproxy
