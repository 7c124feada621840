// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/strangers.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

using Advice = Strangers::Advice;
constexpr std::uint64_t kPlaceOf = 1ULL << 32;  // the upper half of a hash chooses the place
constexpr std::uint64_t kHash = 7 * kPlaceOf + 0x1234;
constexpr std::uint32_t kAck = 5000;

TEST(Strangers, ClientIsToldOnceTheServerHasConfirmedTheConnection) {
  Strangers s;
  EXPECT_EQ(s.client(kHash, kAck, 100), Advice::kAskServer);
  Strangers::ToClient out;
  EXPECT_TRUE(s.server(kHash, 110, out));
  EXPECT_TRUE(out.known);
  EXPECT_EQ(out.seq, kAck);
  EXPECT_EQ(s.client(kHash, kAck, 120), Advice::kReset);
}

TEST(Strangers, ServerIsAskedAgainAfterAWhileAndTheClientIsToldInTheEnd) {
  Strangers s;
  EXPECT_EQ(s.client(kHash, kAck, 100), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck, 99 + Strangers::kAskAgainMs), Advice::kWait);
  EXPECT_EQ(s.client(kHash, kAck, 100 + Strangers::kAskAgainMs), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck, 99 + Strangers::kPatienceMs), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck, 100 + Strangers::kPatienceMs), Advice::kReset);
}

TEST(Strangers, AnotherAckIsOfTheNextConnection) {
  Strangers s;
  Strangers::ToClient out;
  EXPECT_EQ(s.client(kHash, kAck, 100), Advice::kAskServer);
  EXPECT_TRUE(s.server(kHash, 110, out));
  EXPECT_EQ(s.client(kHash, kAck + 1, 120), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck + 1, 119 + Strangers::kPatienceMs), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck + 1, 120 + Strangers::kPatienceMs), Advice::kReset);
}

TEST(Strangers, WhatIsRememberedEnds) {
  Strangers s;
  EXPECT_EQ(s.client(kHash, kAck, 100), Advice::kAskServer);
  EXPECT_EQ(s.client(kHash, kAck, 99 + Strangers::kMemoryMs), Advice::kReset);
  EXPECT_EQ(s.client(kHash, kAck, 100 + Strangers::kMemoryMs), Advice::kAskServer) << "anew";
}

TEST(Strangers, AServerMaySpeakFirst) {
  Strangers s;
  Strangers::ToClient out;
  EXPECT_TRUE(s.server(kHash, 100, out));
  EXPECT_FALSE(out.known);
  EXPECT_EQ(s.client(kHash, kAck, 110), Advice::kReset);
}

TEST(Strangers, WhoHasComeFirstKeepsThePlaceForAWhile) {
  Strangers s;
  const std::uint64_t other = kHash + Strangers::kPlaces * kPlaceOf + 0x10;
  EXPECT_EQ(s.client(kHash, kAck, 100), Advice::kAskServer);
  EXPECT_EQ(s.client(other, kAck, 99 + Strangers::kKeepsPlaceMs), Advice::kWait);
  EXPECT_EQ(s.client(other, kAck, 100 + Strangers::kKeepsPlaceMs), Advice::kAskServer);
}

TEST(Strangers, AskingAndTellingHaveALimitEachSecond) {
  Strangers s;
  Strangers::ToClient out;
  for (std::uint32_t i = 0; i < Strangers::kAsksPerSecond; ++i) {
    ASSERT_EQ(s.client(i * kPlaceOf, kAck, 100), Advice::kAskServer);
    const bool confirmed = i % 200 != 0 || s.server(i * kPlaceOf, 100, out);
    ASSERT_TRUE(confirmed);
  }
  EXPECT_EQ(s.client(kHash + 1, kAck, 1099), Advice::kWait);
  for (std::uint32_t i = 0; i < Strangers::kResetsPerSecond; ++i) {
    ASSERT_TRUE(s.server(i * kPlaceOf, 1100, out));
  }
  EXPECT_FALSE(s.server(kHash, 1100, out));
  EXPECT_EQ(s.client(0, kAck, 1101), Advice::kWait) << "it is known, but enough were told";
  EXPECT_TRUE(s.server(kHash, 2100, out));
}

TEST(Strangers, AServerThatConfirmsNoneIsHardlyAskedAnyMoreUntilItDoes) {
  Strangers s;
  Strangers::ToClient out;
  for (std::uint32_t i = 0; i < Strangers::kAsksInVain; ++i) {
    ASSERT_EQ(s.client(i * kPlaceOf, kAck, 100), Advice::kAskServer);
  }
  std::uint32_t n = Strangers::kAsksInVain;
  for (std::uint32_t i = 0; i < Strangers::kDoubtfulAsksPerSecond; ++i) {
    ASSERT_EQ(s.client(n++ * kPlaceOf, kAck, 1100), Advice::kAskServer);
  }
  EXPECT_EQ(s.client(n++ * kPlaceOf, kAck, 2099), Advice::kWait);
  EXPECT_TRUE(s.server(n++ * kPlaceOf, 2099, out));
  EXPECT_EQ(s.client(n++ * kPlaceOf, kAck, 2099), Advice::kWait) << "nobody had asked for that one";
  EXPECT_TRUE(s.server(5 * kPlaceOf, 2099, out));
  EXPECT_EQ(s.client(n++ * kPlaceOf, kAck, 2099), Advice::kAskServer);
}

TEST(Strangers, AFloodSoonMakesABurstUninteresting) {
  Strangers s;
  s.begin(false, false, 100);
  EXPECT_FALSE(s.curious());
  s.begin(true, false, 100);
  EXPECT_TRUE(s.curious());
  for (std::uint32_t i = 0; i < Strangers::kLooksPerMs; ++i) (void)s.client(i * kPlaceOf, 1, 100);
  s.begin(true, false, 100);
  EXPECT_FALSE(s.curious());
  s.begin(true, false, 101);
  EXPECT_TRUE(s.curious());
}

}  // namespace
}  // namespace synproxy
