// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/service_tuning.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(ServiceTuning, IsThatOfAllUnlessItSaysOtherwise) {
  EngineTuning all;
  all.mode = Mode::kAdaptive;
  all.unknown = Unknown::kDrop;
  all.strict_window = true;
  all.min_ttl = 7;
  all.limits.backlog.connections = 9;
  all.limits.action = LimitAction::kReset;
  all.limits.rate.limits[all.limits.rate.count++] = {
      .connections = 1, .period_ms = 1000, .burst = 1, .mask = {}};
  all.limits.conns.limits[all.limits.conns.count++] = {.connections = 2, .mask = {}};
  const ServiceTuning own = service_tuning(all);
  EXPECT_EQ(own.mode, Mode::kAdaptive);
  EXPECT_EQ(own.unknown, Unknown::kDrop);
  EXPECT_TRUE(own.strict_window);
  EXPECT_EQ(own.min_ttl, 7);
  EXPECT_EQ(own.backlog, all.limits.backlog);
  EXPECT_EQ(own.rate, all.limits.rate);
  EXPECT_EQ(own.conns, all.limits.conns);
  EXPECT_EQ(own.action, LimitAction::kReset);
}

TEST(ServiceTuning, UnknownSegmentsPassOnForwardAndWithoutCookies) {
  for (const Mode mode : {Mode::kAlways, Mode::kAdaptive, Mode::kOff}) {
    for (const Unknown unknown : {Unknown::kDrop, Unknown::kReset, Unknown::kForward}) {
      ServiceTuning t;
      t.mode = mode;
      t.unknown = unknown;
      EXPECT_EQ(t.forwards_unknown(), mode == Mode::kOff || unknown == Unknown::kForward);
    }
  }
}

}  // namespace
}  // namespace synproxy
