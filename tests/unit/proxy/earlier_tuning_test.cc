// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/earlier_tuning.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

constexpr std::uint64_t kEpoch = 1000;

EngineTuning tuning(std::uint8_t scale, std::uint32_t window) {
  EngineTuning t;
  t.offer.window_scale = scale;
  t.early_window = window;
  return t;
}

TEST(EarlierTuning, NothingBindsBeforeAChange) {
  const EarlierTuning e;
  const EngineTuning now = tuning(7, 5000);
  EXPECT_EQ(e.scales(kEpoch), 0U);
  EXPECT_FALSE(e.learned_scales(kEpoch));
  EXPECT_EQ(e.least_window(now, kEpoch), 5000U);
  EXPECT_EQ(e.most_window(now, kEpoch), 5000U);
  EXPECT_TRUE(e.same_offer_since(0, 1));
}

TEST(EarlierTuning, PromisesBindForTheEpochOfTheChangeAndTheNextOne) {
  EarlierTuning e;
  const EngineTuning now = tuning(9, 5000);
  e.changed(tuning(7, 9000), now, kEpoch, 100);
  for (const std::uint64_t epoch : {kEpoch, kEpoch + 1}) {
    EXPECT_EQ(e.scales(epoch), scale_set(7));
    EXPECT_EQ(e.least_window(now, epoch), 5000U);
    EXPECT_EQ(e.most_window(now, epoch), 9000U);
  }
  EXPECT_EQ(e.scales(kEpoch + 2), 0U);
  EXPECT_EQ(e.most_window(now, kEpoch + 2), 5000U);
}

TEST(EarlierTuning, PromisesOfSeveralChangesAddUpAndThenEndTogether) {
  EarlierTuning e;
  const EngineTuning last = tuning(3, 6000);
  e.changed(tuning(7, 9000), tuning(8, 1000), kEpoch, 100);
  e.changed(tuning(8, 1000), last, kEpoch + 1, 200);
  EXPECT_EQ(e.scales(kEpoch + 2), scale_set(7) | scale_set(8));
  EXPECT_EQ(e.least_window(last, kEpoch + 2), 1000U);
  EXPECT_EQ(e.most_window(last, kEpoch + 2), 9000U);
  EXPECT_EQ(e.scales(kEpoch + 3), 0U);
}

TEST(EarlierTuning, AChangeAfterAllHasEndedBeginsAnew) {
  EarlierTuning e;
  e.changed(tuning(7, 9000), tuning(8, 1000), kEpoch, 100);
  e.changed(tuning(8, 1000), tuning(3, 2000), kEpoch + 2, 200);
  EXPECT_EQ(e.scales(kEpoch + 2), scale_set(8));
  EXPECT_EQ(e.most_window(tuning(3, 2000), kEpoch + 2), 2000U);
}

TEST(EarlierTuning, LearnedScalesAreRememberedAsSuch) {
  EarlierTuning e;
  e.changed(tuning(kAutoScale, 5000), tuning(7, 5000), kEpoch, 100);
  EXPECT_TRUE(e.learned_scales(kEpoch + 1));
  EXPECT_EQ(e.scales(kEpoch + 1), 0U);
  EXPECT_FALSE(e.learned_scales(kEpoch + 2));
}

TEST(EarlierTuning, OfferIsTheSameSinceItsLastChange) {
  EarlierTuning e;
  EngineTuning other = tuning(7, 5000);
  other.offer.sack = Offer::kOff;
  constexpr std::uint64_t kChange = (3ULL << 32) + 10;  // the clock modulo 2^32 has just wrapped
  e.changed(tuning(7, 5000), other, kEpoch, kChange);
  EXPECT_TRUE(e.same_offer_since(11, kChange + 5));
  EXPECT_FALSE(e.same_offer_since(10, kChange + 5)) << "in the millisecond of the change";
  EXPECT_FALSE(e.same_offer_since(0xfffffff0U, kChange + 5));
}

TEST(EarlierTuning, LargestMssThatWasSetIsRemembered) {
  EarlierTuning e;
  EngineTuning large = tuning(7, 5000);
  large.offer.mss = 8960;
  EngineTuning small = tuning(7, 5000);
  small.offer.mss = 1200;
  e.changed(large, small, kEpoch, 100);
  e.changed(small, tuning(7, 5000), kEpoch, 200);
  EXPECT_EQ(e.most_mss(kEpoch + 1), 8960U);
  EXPECT_EQ(e.most_mss(kEpoch + 2), 0U);
}

}  // namespace
}  // namespace synproxy
