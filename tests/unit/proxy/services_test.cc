// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/services.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

constexpr Abilities kAll{.timestamps = true, .sack = true, .ecn = true};
constexpr std::uint64_t kEpoch = 1000;

FlowKey service(std::uint8_t host, std::uint16_t port = 80) {
  FlowKey key;
  key.server = {203, 0, 113, host};
  key.server_port = port;
  return key;
}

ServiceTable::Answer answer(bool timestamps, bool sack, bool ecn, std::uint8_t scale) {
  ServiceTable::Answer a;
  a.asked = kAll;
  a.scale_asked = true;
  a.probe = true;
  a.options.timestamps = timestamps;
  a.options.sack_permitted = sack;
  a.options.window_scale = scale;
  a.options.mss = 1400;
  a.ecn = ecn;
  a.window = 5000;
  return a;
}

TEST(Abilities, CoverEachOtherOptionByOption) {
  EXPECT_TRUE(kAll.covers({}));
  EXPECT_TRUE(kAll.covers(kAll));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = true, .sack = false, .ecn = false}));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = false, .sack = true, .ecn = false}));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = false, .sack = false, .ecn = true}));
}

TEST(Services, UnknownOnesAreAskedUntilTheyAnswer) {
  ServiceTable t;
  EXPECT_TRUE(t.probe_due(service(1), kAll, 0));
  EXPECT_FALSE(t.probe_due(service(1), {}, 0)) << "everything is fixed by flags";
  EXPECT_EQ(t.scales(service(1), kEpoch), kEveryScale);
  t.learn(service(1), kEpoch, 50, answer(true, true, true, 9));
  EXPECT_FALSE(t.probe_due(service(1), kAll, 1'000'000'000));
  EXPECT_TRUE(t.probe_due(service(2), kAll, 50));
  EXPECT_TRUE(t.probe_due(service(1, 81), kAll, 50));
}

TEST(Services, OfferWhatTheAnswerShowed) {
  ServiceTable t;
  t.learn(service(1), kEpoch, 0, answer(true, false, false, kNoScale));
  const ServiceOffer o = t.offer(service(1));
  EXPECT_TRUE(o.can.timestamps);
  EXPECT_FALSE(o.can.sack);
  EXPECT_FALSE(o.can.ecn);
  EXPECT_EQ(o.window_scale, 0) << "its windows mean what they say";
  EXPECT_EQ(o.mss, 1400);
  EXPECT_EQ(o.window, 5000);
}

TEST(Services, AnAnswerWithoutMssMeansTheDefault) {
  ServiceTable t;
  ServiceTable::Answer a = answer(true, true, true, 7);
  a.options.mss = 0;
  t.learn(service(1), kEpoch, 0, a);
  EXPECT_EQ(t.offer(service(1)).mss, 536);
  FlowKey v6 = service(1);
  v6.ipv6 = true;
  t.learn(v6, kEpoch, 0, a);
  EXPECT_EQ(t.offer(v6).mss, 1220);
}

TEST(Services, WhatWasNotAskedProvesNoLack) {
  ServiceTable t;
  t.learn(service(1), kEpoch, 0, answer(true, true, true, 9));
  ServiceTable::Answer a = answer(false, false, false, kNoScale);
  a.asked = {};
  a.scale_asked = false;
  a.probe = false;
  t.learn(service(1), kEpoch, 1, a);
  EXPECT_TRUE(t.offer(service(1)).can.covers(kAll));
  EXPECT_EQ(t.offer(service(1)).window_scale, 9);
}

TEST(Services, ScalesStayCandidatesWhileTheirCookiesLive) {
  ServiceTable t;
  t.learn(service(1), kEpoch, 0, answer(true, true, true, 9));
  EXPECT_EQ(t.scales(service(1), kEpoch), scale_set(9) | scale_set(kAssumedScale));
  EXPECT_EQ(t.scales(service(1), kEpoch + 1), scale_set(9) | scale_set(kAssumedScale));
  EXPECT_EQ(t.scales(service(1), kEpoch + 2), scale_set(9));
  t.learn(service(1), kEpoch + 2, 0, answer(true, true, true, 3));
  t.learn(service(1), kEpoch + 2, 0, answer(true, true, true, 4));
  EXPECT_EQ(t.scales(service(1), kEpoch + 3), scale_set(9) | scale_set(3) | scale_set(4));
  EXPECT_EQ(t.scales(service(1), kEpoch + 4), scale_set(4));
}

TEST(Services, AskedAgainAfterTheTimeThatALackIsBelieved) {
  ServiceTable t;
  t.learn(service(1), kEpoch, 100, answer(false, true, true, 7));
  EXPECT_FALSE(t.probe_due(service(1), kAll, 100 + ServiceTable::kAskAgainMs - 1));
  EXPECT_TRUE(t.probe_due(service(1), kAll, 100 + ServiceTable::kAskAgainMs));
  EXPECT_FALSE(t.probe_due(service(1), {.timestamps = false, .sack = true, .ecn = true},
                           100 + ServiceTable::kAskAgainMs));
}

TEST(Services, AHostStandsInForItsUnknownPorts) {
  ServiceTable t;
  TcpOptions syn;
  syn.timestamps = true;
  syn.window_scale = 5;
  t.learn_host(service(1, 50'000), 0, syn, false);
  EXPECT_TRUE(t.offer(service(1, 80)).can.timestamps);
  EXPECT_TRUE(t.offer(service(1, 80)).can.sack) << "a SYN without proves no lack";
  EXPECT_EQ(t.offer(service(1, 80)).window_scale, 5);
  EXPECT_EQ(t.scales(service(1, 80), kEpoch), kEveryScale);
  EXPECT_FALSE(t.offer(service(2, 80)).can.timestamps);
  t.learn(service(1, 80), kEpoch, 1, answer(true, true, true, 9));
  EXPECT_EQ(t.scales(service(1, 80), kEpoch),
            scale_set(9) | scale_set(5) | scale_set(kAssumedScale));
}

TEST(Services, AFullBucketGivesUpTheOneConfirmedLongestAgo) {
  ServiceTable t;
  constexpr std::uint16_t kMany = 20'000;
  for (std::uint16_t port = 1; port <= kMany; ++port) {
    t.learn(service(1, port), kEpoch, port, answer(true, true, true, 9));
    ASSERT_EQ(t.offer(service(1, port)).window_scale, 9);
  }
  unsigned recent = 0;
  unsigned kept = 0;
  for (std::uint16_t port = 1; port <= kMany; ++port) {
    const bool known = t.offer(service(1, port)).window_scale == 9;
    kept += known ? 1U : 0U;
    if (port > kMany - 256) recent += known ? 1U : 0U;
  }
  EXPECT_LE(kept, ServiceTable::kServices);
  EXPECT_GE(kept, ServiceTable::kServices / 2);
  EXPECT_GE(recent, 250U);
}

}  // namespace
}  // namespace synproxy
