// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/syn_times.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace synproxy {
namespace {

TEST(SynTimes, AProvenClientHasWaitedSinceItsFirstSyn) {
  SynTimes t;
  EXPECT_FALSE(t.answered(0x1234567890abcdef, 1000));
  EXPECT_FALSE(t.answered(0x1234567890abcdef, 1001)) << "a copy made on the path";
  EXPECT_TRUE(t.answered(0x1234567890abcdef, 2000));
  EXPECT_TRUE(t.answered(0x1234567890abcdef, 4000));
  EXPECT_FALSE(t.proven(0x1234567890abcdee ^ 0x10000, 4050).has_value()) << "another one";
  const auto wait = t.proven(0x1234567890abcdef, 4050);
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(wait->ms, 3050U);
  EXPECT_EQ(wait->repeats, 2U);
  EXPECT_FALSE(t.proven(0x1234567890abcdef, 4051).has_value()) << "it has been asked for";
}

TEST(SynTimes, TheClockOfTheWorkerMayWrap) {
  for (const std::uint32_t at : {0xffffffffU, 0x00fffffeU}) {
    SynTimes t;
    t.answered(77, at);
    EXPECT_EQ(t.proven(77, at + 5).value_or(SynTimes::Wait{}).ms, 5U);
  }
}

TEST(SynTimes, ACookieThatIsTooOldIsNotMeasured) {
  SynTimes t;
  t.answered(77, 5);
  EXPECT_FALSE(t.proven(77, 5 + SynTimes::kMemoryMs).has_value());
}

TEST(SynTimes, TheRepeatsHaveAnEnd) {
  SynTimes t;
  for (std::uint32_t i = 0; i < 300; ++i) t.answered(77, 200 * i);
  EXPECT_EQ(t.proven(77, 60'000).value_or(SynTimes::Wait{}).repeats, 255U);
}

// SYNs at random, `per_ms` each millisecond; returns how many of the last second are followed.
std::uint32_t flood(SynTimes& t, std::mt19937_64& random, std::uint32_t& now, unsigned ms,
                    unsigned per_ms) {
  std::uint32_t followed = 0;
  for (unsigned i = 0; i < ms; ++i, t.tick(++now)) {
    for (unsigned n = 0; n < per_ms; ++n) {
      const std::uint64_t mac = random();
      if (!t.follows(mac)) continue;
      t.answered(mac, now);
      followed += i + 1000 >= ms ? 1U : 0U;
    }
  }
  return followed;
}

TEST(SynTimes, InAFloodItFollowsASampleAndAfterItAllAgain) {
  SynTimes t;
  std::mt19937_64 random(1);
  std::uint32_t now = 0;
  EXPECT_EQ(flood(t, random, now, 1000, 4), 4000U) << "all";
  for (const unsigned rate : {100U, 3000U}) {
    const std::uint32_t followed = flood(t, random, now, 1500, rate);
    EXPECT_GT(followed, 3'000U) << rate;
    EXPECT_LT(followed, 20'000U) << rate;
  }
  EXPECT_NE(t.left_out(), 0U);
  for (unsigned i = 0; i < SynTimes::kWindowMs * (SynTimes::kMostHalvings + 1); ++i) t.tick(++now);
  EXPECT_EQ(t.left_out(), 0U);
}

TEST(SynTimes, AClientOfTheSampleIsFoundSecondsLaterInAFlood) {
  SynTimes t;
  std::mt19937_64 random(2);
  std::uint32_t now = 0;
  flood(t, random, now, 2000, 1000);
  std::array<std::uint64_t, 50> clients;
  for (std::uint64_t& mac : clients) {
    mac = random() & 0x0000ffffffffffff;  // no halving leaves it out
    EXPECT_FALSE(t.answered(mac, now));
  }
  flood(t, random, now, 1000, 1000);
  unsigned found = 0;
  for (const std::uint64_t mac : clients) {
    found += t.answered(mac, now) && t.proven(mac, now)->ms == 1000 ? 1U : 0U;
  }
  EXPECT_GE(found, 45U);
}

TEST(SynTimes, OnlyThoseThatMayHaveBeenFollowedAreAskedFor) {
  SynTimes t;
  std::mt19937_64 random(4);
  std::uint32_t now = 0;
  const auto asked = [&] {
    unsigned n = 0;
    for (unsigned i = 0; i < 10'000; ++i) n += t.may_have_followed(random()) ? 1U : 0U;
    return n;
  };
  const std::uint64_t before = ~std::uint64_t{0} >> 1;  // left out by the second halving
  EXPECT_FALSE(t.answered(before, now));
  flood(t, random, now, 100, 1000);
  EXPECT_FALSE(t.follows(before));
  EXPECT_TRUE(t.proven(before, now).has_value()) << "it was followed before the flood";
  flood(t, random, now, 4000, 1000);
  EXPECT_LT(asked(), 1000U);
  for (unsigned i = 0; i < SynTimes::kWindowMs * (SynTimes::kMostHalvings + 1); ++i) t.tick(++now);
  EXPECT_EQ(asked(), 10'000U);
}

TEST(SynTimes, OneSynAgainAndAgainDoesNotCrowdOutOthers) {
  SynTimes t;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    t.answered(77, i / 100);
    if (i % 100 == 99) t.tick(i / 100);
  }
  EXPECT_EQ(t.left_out(), 0U);
}

TEST(SynTimes, AFloodOfTheSameSynsIsSampledToo) {
  SynTimes t;
  std::mt19937_64 random(3);
  std::array<std::uint64_t, 1000> macs;
  for (std::uint64_t& mac : macs) mac = random();
  std::uint32_t looks = 0;
  for (std::uint32_t now = 1; now <= 1000; t.tick(now++)) {
    for (const std::uint64_t mac : macs) {
      if (!t.follows(mac)) continue;
      t.answered(mac, now);
      looks += now > 500 ? 1U : 0U;
    }
  }
  EXPECT_LT(looks, 128U * 500U);
  EXPECT_GT(looks, 10U * 500U);
}

TEST(SynTimes, NoFloodStopsTheMeasuring) {
  SynTimes t;
  for (std::uint64_t i = 1; i < 1'000'000; ++i) t.answered(i << 20, 0);  // of one millisecond
  EXPECT_TRUE(t.follows(0xffff)) << "at least one SYN in 65,536";
}

}  // namespace
}  // namespace synproxy
