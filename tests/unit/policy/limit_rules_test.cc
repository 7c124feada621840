// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/limit_rules.h"

#include <gtest/gtest.h>

#include <cmath>

namespace synproxy {
namespace {

RateLimit per(std::uint32_t connections, std::uint32_t period_ms, std::uint32_t burst = 1) {
  return {.connections = connections, .period_ms = period_ms, .burst = burst, .mask = {}};
}

TEST(RateRule, MeetsItsRateWithinATenthOfAPercent) {
  for (const std::uint32_t period : {1000U, 60'000U, 3'600'000U, 86'400'000U}) {
    for (const std::uint32_t n : {1U, 2U, 3U, 7U, 100U, 999U, 100'000U, 1'000'000U}) {
      const RateRule r = rate_rule(per(n, period));
      const double ms = static_cast<double>(r.interval) / std::pow(2.0, r.shift);
      EXPECT_NEAR(ms * n / period, 1, 0.001) << n << " in " << period << " ms";
      EXPECT_GE(r.interval, 1024U);
    }
  }
}

TEST(RateRule, BurstIsWhatMayComeAtOnce) {
  const RateRule one = rate_rule(per(10, 1000, 1));
  EXPECT_EQ(one.tolerance, 0U);
  const RateRule many = rate_rule(per(10, 1000, 21));
  EXPECT_EQ(many.tolerance, 20 * many.interval);
  EXPECT_EQ(many.most_ahead(), 21 * many.interval);
  EXPECT_EQ(many.identity(), one.identity()) << "another burst keeps the entries";
  EXPECT_NE(rate_rule(per(11, 1000)).identity(), one.identity());
  RateLimit wider = per(10, 1000);
  wider.mask.ipv4 = 24;
  EXPECT_NE(rate_rule(wider).identity(), one.identity());
}

TEST(LimitRules, AreThoseThatWereGiven) {
  LimitTuning t;
  EXPECT_FALSE(LimitRules(t).any());
  t.rate.limits[0] = per(10, 1000);
  t.rate.count = 1;
  t.monitored = kMonitorLimitConns;
  const LimitRules rules(t);
  EXPECT_TRUE(rules.any());
  EXPECT_EQ(rules.rates().size(), 1U);
  EXPECT_TRUE(rules.conns().empty());
  EXPECT_FALSE(rules.monitor_rate());
  EXPECT_TRUE(rules.monitor_conns());
}

}  // namespace
}  // namespace synproxy
