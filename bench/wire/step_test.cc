// SPDX-License-Identifier: BSD-3-Clause
#include "step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace synproxy::generator {
namespace {

TEST(WireStep, SettingsAreTakenInAnyOrder) {
  const Step s = parse_step("latency,timestamps=on,rate=2.5e6,family=6,seconds=0.25,check=1");
  EXPECT_EQ(s.kind, Step::Kind::kLatency);
  EXPECT_TRUE(s.ipv6);
  EXPECT_EQ(s.rate, 2.5e6);
  EXPECT_EQ(s.seconds, 0.25);
  EXPECT_EQ(s.check, 1U);
  EXPECT_EQ(parse_step("flood").kind, Step::Kind::kFlood);
}

TEST(WireStep, WhatIsWrongIsNamedInOneLine) {
  const std::pair<const char*, const char*> rows[] = {
      {"tsunami", "tsunami: no such step"},
      {"flood,colour=red", "flood,colour=red: colour=red: no such setting; there are check"},
      {"flood,family=5", "family=5: takes 4 or 6"},
      {"flood,check=3", "check=3: takes a power of two"},
      {"flood,seconds=soon", "seconds=soon: takes a number"},
      {"flood,timestamps=perhaps", "timestamps=perhaps: takes on or off"},
      {"connections,concurrent=100000", "takes a whole number from 1 to 60000"},
      {"latency", "latency needs a rate"},
      {"latency,rate=1000,timestamps=off", "latency needs a rate"},
  };
  for (const auto& [text, why] : rows) {
    try {
      static_cast<void>(parse_step(text));
      ADD_FAILURE() << text;
    } catch (const BadStep& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(why));
    }
  }
}

}  // namespace
}  // namespace synproxy::generator
