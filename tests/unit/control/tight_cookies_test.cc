// SPDX-License-Identifier: BSD-3-Clause
#include "control/tight_cookies.h"

#include <gtest/gtest.h>

namespace synproxy::control {
namespace {

class TightCookiesTest : public ::testing::Test {
 protected:
  // A second with so many more invalid cookies of each.
  std::optional<TightCookies::News> second(std::uint64_t of_web, std::uint64_t of_rest,
                                           std::uint32_t mark = 1000) {
    services_[0].invalid += of_web;
    services_[1].invalid += of_rest;
    now_ms_ += 1000;
    return cookies_.look(services_, mark, now_ms_);
  }
  TightCookies cookies_;
  std::vector<TightCookies::Service> services_{{"web", 5'000'000}, {"", 7'000'000}};
  std::uint64_t now_ms_ = 0;
};

TEST_F(TightCookiesTest, WhatCameBeforeTheFirstLookIsNoRate) {
  EXPECT_FALSE(second(0, 0));
  EXPECT_FALSE(cookies_.attacked());
}

TEST_F(TightCookiesTest, AnAttackOnOneServiceBeginsAboveTheMark) {
  second(0, 0);
  EXPECT_FALSE(second(1000, 1000)) << "each is judged by itself";
  const auto news = second(1001, 5);
  ASSERT_TRUE(news);
  EXPECT_TRUE(cookies_.attacked());
  EXPECT_EQ(
      tight_cookies_line(*news, false, 40'001),
      "cookies without timestamps are tight in 41 s: 1001 invalid cookies a second of web are "
      "more than --tight-cookies 1000");
  EXPECT_FALSE(second(1002, 0)) << "it has begun";
  EXPECT_TRUE(cookies_.attacked());
}

TEST_F(TightCookiesTest, ItIsOverAfterAMinuteBelowHalfOfTheMark) {
  second(0, 0);
  ASSERT_TRUE(second(0, 2000));
  for (int i = 0; i < 59; ++i) ASSERT_FALSE(second(499, 499)) << i;
  ASSERT_FALSE(second(500, 0)) << "half of it: the minute begins anew";
  for (int i = 0; i < 59; ++i) ASSERT_FALSE(second(499, 0)) << i;
  ASSERT_TRUE(cookies_.attacked());
  const auto news = second(499, 0);
  ASSERT_TRUE(news);
  EXPECT_FALSE(cookies_.attacked());
  EXPECT_EQ(tight_cookies_line(*news, false, 30'000),
            "cookies without timestamps are as usual again in 30 s: for 60 s fewer than half of "
            "--tight-cookies 1000 came");
}

TEST_F(TightCookiesTest, OffEndsItWithoutNews) {
  second(0, 0);
  ASSERT_TRUE(second(0, 2000));
  EXPECT_FALSE(second(0, 2000, 0));
  EXPECT_FALSE(cookies_.attacked());
  EXPECT_TRUE(second(0, 2000));
}

TEST_F(TightCookiesTest, ACounterThatIsReadLowerThanBeforeIsNoRate) {
  second(0, 0);
  services_[1].invalid = 0;
  EXPECT_FALSE(second(0, 0));
}

TEST(TightCookiesLine, SaysWhatAMonitoredRuleWouldDo) {
  EXPECT_EQ(
      tight_cookies_line({.began = true, .rate = 20, .mark = 10}, true, 500),
      "--monitor tight-cookies: cookies without timestamps are as usual and would be tight in "
      "1 s: 20 invalid cookies a second are more than --tight-cookies 10");
  EXPECT_EQ(
      tight_cookies_line({.mark = 10}, true, 500),
      "--monitor tight-cookies: cookies without timestamps are as usual and would stay so: for "
      "60 s fewer than half of --tight-cookies 10 came");
}

}  // namespace
}  // namespace synproxy::control
