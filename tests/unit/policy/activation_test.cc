// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/activation.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

EngineTuning adaptive(AdaptiveTuning t) {
  EngineTuning tuning;
  tuning.mode = Mode::kAdaptive;
  tuning.adaptive = t;
  return tuning;
}

class Activations : public ::testing::Test {
 protected:
  void syns(unsigned n, unsigned ms) {
    unsigned fed = 0;
    for (unsigned m = 1; m <= ms; ++m) {
      for (; fed < std::uint64_t{n} * m / ms; ++fed) a_.syn(kService, now_ms_);
      pass(1);
    }
  }
  void pass(unsigned ms) {
    for (unsigned i = 0; i < ms; ++i) {
      a_.tick(++now_ms_, [&](std::uint16_t cell, bool monitored) {
        EXPECT_EQ(monitored, monitored_);
        EXPECT_EQ(cell, Activation::cell_of(kService));
        ++ended_;
      });
    }
  }
  [[nodiscard]] bool cookies() const { return a_.wants_cookies(kService); }

  static constexpr std::uint64_t kService = 0x0050'cb00'710a;
  EngineTuning tuning_ = adaptive({.backlog = 400, .hold_ms = 5'000, .syn_rate = 100});
  Activation a_{tuning_, 2};
  std::uint64_t now_ms_ = 12'345;
  unsigned ended_ = 0;
  bool monitored_ = false;
};

TEST_F(Activations, AWorkerHasItsPartOfTheMark) {
  for (int i = 0; i < 50; ++i) a_.half_open(kService, true);
  EXPECT_FALSE(cookies());
  a_.half_open(kService, true);
  EXPECT_TRUE(cookies());
  EXPECT_FALSE(a_.wants_cookies(kService + 1));
  Activation::Began began;
  ASSERT_TRUE(a_.take_began(began));
  EXPECT_EQ(began.cell, Activation::cell_of(kService));
  EXPECT_EQ(began.why, Activation::Why::kHalfOpen);
  EXPECT_EQ(began.value, 102U);  // of both workers, if the other one is alike
  EXPECT_FALSE(a_.take_began(began));
  EXPECT_EQ(a_.active_by(Activation::Why::kHalfOpen), 1U);
  EXPECT_EQ(a_.half_open(), 51U);
}

TEST_F(Activations, TheRateIsAnAverageOfTenSeconds) {
  syns(49 * 15, 15'000);  // just below 50 a second, for each of two workers
  EXPECT_FALSE(cookies());
  syns(52 * 12, 12'000);
  EXPECT_TRUE(cookies());
  EXPECT_EQ(a_.active_by(Activation::Why::kSynRate), 1U);
}

TEST_F(Activations, AFastFloodIsNoticedAtOnce) {
  syns(501, 100);
  EXPECT_TRUE(cookies());
}

TEST_F(Activations, ItEndsOnceItWasCalmForTheHold) {
  syns(501, 100);
  pass(9'000);
  EXPECT_TRUE(cookies());  // they are still among the last ten seconds
  pass(5'000);
  EXPECT_TRUE(cookies());
  pass(3'000);
  EXPECT_FALSE(cookies());
  EXPECT_EQ(ended_, 1U);
  EXPECT_EQ(a_.active(), 0U);
}

TEST_F(Activations, UnansweredSynsKeepItAndAnsweredOnesDoNot) {
  syns(501, 100);
  // 3 a second: 30 unanswered in ten seconds, above 12 % of 200.
  for (int i = 0; i < 40; ++i) syns(3, 1'000);
  EXPECT_TRUE(cookies());
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 3; ++k) a_.proven(kService, now_ms_);
    syns(3, 1'000);
  }
  EXPECT_FALSE(cookies());
}

TEST_F(Activations, WhatTheServerHoldsKeepsItToo) {
  for (int i = 0; i < 60; ++i) a_.half_open(kService, true);
  pass(60'000);
  EXPECT_TRUE(cookies());
  for (int i = 0; i < 37; ++i) a_.half_open(kService, false);
  pass(6'000);
  EXPECT_FALSE(cookies());
}

TEST_F(Activations, ManyProvenHandshakesDoNotWrapAround) {
  syns(501, 100);
  for (int i = 0; i < 5'000; ++i) a_.proven(kService, now_ms_);
  pass(17'000);
  EXPECT_FALSE(cookies());
}

TEST_F(Activations, AnotherModeEndsAllAndKeepsTheCounts) {
  for (int i = 0; i < 60; ++i) a_.half_open(kService, true);
  tuning_.mode = Mode::kOff;
  a_.retune(tuning_);
  EXPECT_FALSE(cookies());
  EXPECT_EQ(a_.active(), 0U);
  EXPECT_EQ(a_.half_open(), 60U);
  Activation::Began began;
  EXPECT_FALSE(a_.take_began(began));
  tuning_.mode = Mode::kAlways;
  a_.retune(tuning_);
  EXPECT_TRUE(cookies());
}

TEST_F(Activations, WithoutARateMarkNoRateBeginsThem) {
  tuning_.adaptive.syn_rate = 0;
  a_.retune(tuning_);
  syns(100'000, 100);
  EXPECT_FALSE(cookies());
}

TEST_F(Activations, ALongSilenceForgetsTheWindow) {
  syns(400, 100);
  now_ms_ += 1ULL << 33;
  syns(400, 100);
  EXPECT_FALSE(cookies());
}

TEST_F(Activations, AServiceMayHaveMarksOfItsOwn) {
  a_.retune(3, {.backlog = 40, .hold_ms = 1'000, .syn_rate = 100}, false);
  for (int i = 0; i < 5; ++i) a_.half_open(kService, true, true, 3);
  EXPECT_FALSE(cookies());
  a_.half_open(kService, true, true, 3);
  EXPECT_TRUE(cookies());
  Activation::Began began;
  ASSERT_TRUE(a_.take_began(began));
  EXPECT_EQ(began.named, 3);
  for (int i = 0; i < 6; ++i) a_.half_open(kService, false, true, 3);
  pass(2'500);
  EXPECT_FALSE(cookies()) << "its own hold";
}

TEST_F(Activations, WhatIsMonitoredIsSaidAndBeginsNothing) {
  monitored_ = true;
  tuning_.limits.monitored = kMonitorMode;
  a_.retune(tuning_);
  syns(501, 100);
  EXPECT_FALSE(cookies());
  Activation::Began began;
  ASSERT_TRUE(a_.take_began(began));
  EXPECT_TRUE(began.monitored);
  EXPECT_EQ(a_.active(), 0U);
  pass(17'000);
  EXPECT_EQ(ended_, 1U);
  syns(501, 100);
  tuning_.limits.monitored = 0;
  a_.retune(tuning_);
  EXPECT_FALSE(cookies());
  a_.syn(kService, now_ms_);
  EXPECT_TRUE(cookies()) << "the SYNs of the last ten seconds count";
}

}  // namespace
}  // namespace synproxy
