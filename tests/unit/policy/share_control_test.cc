// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/share_control.h"

#include <gtest/gtest.h>

#include <cmath>

namespace synproxy {
namespace {

double of_whole(std::uint32_t share) { return share / 4294967296.0; }

TEST(ShareControl, EverythingIsAnsweredUntilTheQueueRefuses) {
  ShareControl control;
  for (std::uint64_t ms = 1; ms < 100; ++ms) control.step(ms, false, ms % 2 == 0);
  EXPECT_TRUE(control.whole());
  control.step(100, true, false);
  EXPECT_FALSE(control.whole());
}

TEST(ShareControl, FallsWhileTheQueueRefuses) {
  ShareControl control;
  std::uint32_t last = control.share();
  for (std::uint64_t ms = 1; ms <= 10; ++ms) {
    control.step(ms, true, true);  // it ran empty and was full within one step: too much came
    EXPECT_LT(control.share(), last);
    last = control.share();
  }
  EXPECT_LT(of_whole(last), 0.06) << "a flood of twenty times is met within ten steps";
}

TEST(ShareControl, SomeAreAlwaysAnswered) {
  ShareControl control;
  for (std::uint64_t ms = 1; ms <= 1000; ++ms) control.step(ms, true, false);
  EXPECT_EQ(control.share(), ShareControl::kSmallestShare);
}

TEST(ShareControl, StaysWhileTheQueueIsNeitherFullNorEmpty) {
  ShareControl control;
  control.step(1, true, false);
  const std::uint32_t share = control.share();
  for (std::uint64_t ms = 2; ms <= 50; ++ms) control.step(ms, false, false);
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

// A worker that sleeps sees few milliseconds.
TEST(ShareControl, RiseCountsTheTimeThatPassed) {
  ShareControl slept;
  slept.step(1, true, false);
  ShareControl awake = slept;
  slept.step(101, false, true);
  for (std::uint64_t ms = 2; ms <= 101; ++ms) awake.step(ms, false, true);
  EXPECT_EQ(slept.share(), awake.share());
  slept.step(1'000'000, false, true);
  EXPECT_TRUE(slept.whole());
}

TEST(ShareControl, OneStepAMillisecond) {
  ShareControl control;
  control.step(5, true, false);
  const std::uint32_t share = control.share();
  control.step(5, true, false);
  EXPECT_EQ(control.share(), share);
}

// Arrivals of so many SYNs a millisecond at a worker that answers so many, through a queue of 512.
// What it settles at is what can be answered, whatever the flood.
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
      // Ten slices: within one, arrivals and answers go side by side.
      bool refused = false;
      bool empty = false;
      for (int slice = 0; slice < 10; ++slice) {
        queue += kAnswered / 10 * flood * of_whole(control.share());
        const double done = std::min(queue, kAnswered / 10);
        queue -= done;
        if (queue > 512) {
          refused = true;
          queue = 512;
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
