// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/services.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "synproxy/flow/arena.h"

namespace synproxy {
namespace {

constexpr IndexKey kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL, 0xa4093822299f31d0ULL,
                        0x082efa98ec4e6c89ULL};

ServiceTable table_for(std::initializer_list<std::string_view> protect = {"203.0.113.0/24"}) {
  std::vector<ProtectRule> rules;
  for (const std::string_view text : protect) rules.push_back(parse_protect_rule(text));
  return {ProtectSet(rules), kKey};
}

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
  a.options.timestamps = timestamps;
  a.options.sack_permitted = sack;
  a.options.window_scale = scale;
  a.options.mss = 1400;
  a.ecn = ecn;
  a.window = 5000;
  return a;
}

// Enough answers for a promise.
void learn_well(ServiceTable& t, const FlowKey& key, std::uint64_t now_ms,
                const ServiceTable::Answer& a) {
  for (unsigned i = 0; i < ServiceTable::kAnswersToPromise; ++i) t.learn(key, kEpoch, now_ms, a);
}

TEST(Abilities, CoverEachOtherOptionByOption) {
  EXPECT_TRUE(kAll.covers({}));
  EXPECT_TRUE(kAll.covers(kAll));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = true, .sack = false, .ecn = false}));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = false, .sack = true, .ecn = false}));
  EXPECT_FALSE(Abilities{}.covers({.timestamps = false, .sack = false, .ecn = true}));
}

// One process after the other in the same memory; each may protect something else.
TEST(Services, WhatWasLearnedIsKnownToAProcessThatProtectsMoreOrLess) {
  const auto protect = [](std::initializer_list<std::string_view> texts) {
    std::vector<ProtectRule> rules;
    for (const std::string_view text : texts) rules.push_back(parse_protect_rule(text));
    return ProtectSet(rules);
  };
  const ProtectSet one = protect({"203.0.113.1:80"});
  const ProtectSet two_subnets = protect({"203.0.113.0/24:80", "203.0.113.0/24:443"});
  const ProtectSet eight = protect({"203.0.113.0/24:1-8"});
  ASSERT_EQ(ServiceTable::store_bytes(one), ServiceTable::store_bytes(eight));
  const Mapping memory(ServiceTable::store_bytes(one), Mapping::Kind::kSparse);
  std::size_t least = ~std::size_t{0};
  std::size_t most = 0;
  for (const ProtectSet* protect_now : {&one, &two_subnets, &eight, &one}) {
    Arena arena({static_cast<std::byte*>(memory.data()), memory.bytes()});
    ServiceTable t(*protect_now, kKey, &arena);
    t.restore();
    if (most != 0) {
      EXPECT_TRUE(t.offer(service(1)).can.covers(kAll)) << t.capacity();
    }
    learn_well(t, service(1), 0, answer(true, true, true, 9));
    least = std::min(least, t.capacity());
    most = std::max(most, t.capacity());
  }
  EXPECT_LT(least, most) << "the places are others";
}

TEST(Services, UnknownOnesAreAskedUntilTheyAnswer) {
  ServiceTable t = table_for();
  EXPECT_TRUE(t.probe_due(service(1), kAll, 0));
  EXPECT_FALSE(t.probe_due(service(1), {}, 0)) << "everything is fixed by flags";
  EXPECT_EQ(t.scales(service(1), kEpoch), kEveryScale);
  for (unsigned i = 1; i <= ServiceTable::kAnswersToPromise; ++i) {
    EXPECT_TRUE(t.probe_due(service(1), kAll, 50)) << i;
    t.learn(service(1), kEpoch, 50, answer(true, true, true, 9));
    EXPECT_EQ(t.offer(service(1)).can.timestamps, i == ServiceTable::kAnswersToPromise);
  }
  EXPECT_FALSE(t.probe_due(service(1), kAll, 1'000'000'000));
  EXPECT_TRUE(t.probe_due(service(2), kAll, 50));
  EXPECT_TRUE(t.probe_due(service(1, 81), kAll, 50));
}

TEST(Services, OfferWhatTheAnswerShowed) {
  ServiceTable t = table_for();
  learn_well(t, service(1), 0, answer(true, false, false, kNoScale));
  const ServiceOffer o = t.offer(service(1));
  EXPECT_TRUE(o.can.timestamps);
  EXPECT_FALSE(o.can.sack);
  EXPECT_FALSE(o.can.ecn);
  EXPECT_EQ(o.window_scale, 0) << "its windows mean what they say";
  EXPECT_EQ(o.mss, 1400);
  EXPECT_EQ(o.window, 5000);
}

TEST(Services, AnAnswerWithoutMssMeansTheDefault) {
  ServiceTable t = table_for();
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
  ServiceTable t = table_for();
  learn_well(t, service(1), 0, answer(true, true, true, 9));
  ServiceTable::Answer a = answer(false, false, false, kNoScale);
  a.asked = {};
  a.scale_asked = false;
  t.learn(service(1), kEpoch, 1, a);
  EXPECT_TRUE(t.offer(service(1)).can.covers(kAll));
  EXPECT_EQ(t.offer(service(1)).window_scale, 9);
}

TEST(Services, ScalesStayCandidatesWhileTheirCookiesLive) {
  ServiceTable t = table_for();
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
  ServiceTable t = table_for();
  learn_well(t, service(1), 100, answer(false, true, true, 7));
  EXPECT_FALSE(t.probe_due(service(1), kAll, 100 + ServiceTable::kAskAgainMs - 1));
  EXPECT_TRUE(t.probe_due(service(1), kAll, 100 + ServiceTable::kAskAgainMs));
  EXPECT_FALSE(t.probe_due(service(1), {.timestamps = false, .sack = true, .ecn = true},
                           100 + ServiceTable::kAskAgainMs));
}

// Three servers behind one address take turns, and one of them lacks timestamps and ECN.
TEST(Services, AFarmIsPromisedOnlyWhatAllThatAnsweredHave) {
  ServiceTable t = table_for();
  std::uint64_t now = 0;
  const std::uint64_t day = 86'400'000;
  unsigned asked = 0;
  for (unsigned i = 0; now < day; ++i, now += 10'000) {
    EXPECT_FALSE(t.offer(service(1)).can.timestamps) << now;
    const bool lacks = i % 3 == 2;
    ServiceTable::Answer a = answer(!lacks, true, !lacks, 9);
    if (!t.probe_due(service(1), kAll, now)) {
      a = answer(false, true, false, 9);
      a.asked = {.timestamps = false, .sack = true, .ecn = false};
    } else {
      ++asked;
    }
    t.learn(service(1), kEpoch, now, a);
  }
  EXPECT_LT(asked, 50U) << "the time between two trials doubles";
}

TEST(Services, ALackEndsThePromiseUntilManyAnswersShowOtherwise) {
  ServiceTable t = table_for();
  learn_well(t, service(1), 0, answer(true, true, true, 9));
  t.learn(service(1), kEpoch, 1, answer(false, false, false, 9));
  EXPECT_FALSE(t.offer(service(1)).can.timestamps);
  EXPECT_FALSE(t.offer(service(1)).can.sack);
  for (unsigned i = 1; i < ServiceTable::kAnswersToPromise; ++i) {
    t.learn(service(1), kEpoch, 2, answer(true, true, true, 9));
    EXPECT_EQ(t.offer(service(1)).can, Abilities{});
  }
  t.learn(service(1), kEpoch, 2, answer(true, true, true, 9));
  EXPECT_TRUE(t.offer(service(1)).can.covers(kAll));
}

TEST(Services, TheLeastMssAndWindowThatWereAnsweredLatelyArePromised) {
  ServiceTable t = table_for();
  const auto learn = [&](std::uint64_t now, std::uint16_t mss, std::uint16_t window) {
    ServiceTable::Answer a = answer(true, true, true, 9);
    a.options.mss = mss;
    a.window = window;
    return t.learn(service(1), kEpoch + now / 64'000, now, a);
  };
  learn(0, 1460, 60'000);
  learn(1, 1400, 8'000);
  learn(2, 1460, 60'000);
  EXPECT_EQ(t.offer(service(1)).mss, 1400);
  EXPECT_EQ(t.offer(service(1)).window, 8'000);
  EXPECT_EQ(learn(ServiceTable::kLatelyMs + 1, 1460, 60'000), 1460);
  EXPECT_EQ(t.offer(service(1)).mss, 1400);
  learn(2 * ServiceTable::kLatelyMs + 2, 1460, 60'000);
  EXPECT_EQ(t.offer(service(1)).mss, 1460) << "that server is gone";
  EXPECT_EQ(t.offer(service(1)).window, 60'000);
}

// The answer may be forged. The server is known by what it answers otherwise.
TEST(Services, AnAbsurdMssIsNotPromised) {
  ServiceTable t = table_for();
  for (const bool ipv6 : {false, true}) {
    FlowKey key = service(1);
    key.ipv6 = ipv6;
    ServiceTable::Answer a = answer(true, true, true, 9);
    a.options.mss = 1;
    EXPECT_EQ(t.learn(key, kEpoch, 0, a), assumed_mss(ipv6));
    EXPECT_EQ(t.offer(key).mss, default_mss(ipv6));
    EXPECT_EQ(t.shown_mss(key), kLeastMss);
    EXPECT_EQ(t.learn(key, kEpoch + 1, 0, a), assumed_mss(ipv6)) << "while its cookies live";
    EXPECT_EQ(t.learn(key, kEpoch + 2, 0, a), default_mss(ipv6));
  }
}

TEST(Services, TheSameAddressInAnotherVlanIsAnotherServer) {
  ServiceTable t = table_for();
  FlowKey a = service(1);
  FlowKey b = service(1);
  a.vlan = VlanStack{}.pushed(kEtherTypeVlan, 10);
  b.vlan = VlanStack{}.pushed(kEtherTypeVlan, 20);
  learn_well(t, a, 0, answer(true, true, true, 3));
  EXPECT_TRUE(t.offer(a).can.timestamps);
  EXPECT_EQ(t.offer(b), ServiceOffer{});
  EXPECT_EQ(t.offer(service(1)), ServiceOffer{});
}

TEST(Services, AHostStandsInForItsUnknownPorts) {
  ServiceTable t = table_for();
  TcpOptions syn;
  syn.timestamps = true;
  syn.window_scale = 5;
  for (unsigned i = 0; i < ServiceTable::kAnswersToPromise; ++i) {
    EXPECT_FALSE(t.offer(service(1, 80)).can.timestamps);
    t.learn_host(service(1, 50'000), kEpoch, 0, syn, false);
  }
  EXPECT_TRUE(t.offer(service(1, 80)).can.timestamps);
  EXPECT_TRUE(t.offer(service(1, 80)).can.sack) << "a SYN without proves no lack";
  EXPECT_EQ(t.offer(service(1, 80)).window_scale, 5);
  EXPECT_EQ(t.scales(service(1, 80), kEpoch), kEveryScale);
  EXPECT_FALSE(t.offer(service(2, 80)).can.timestamps);
  t.learn(service(1, 80), kEpoch, 1, answer(true, true, true, 9));
  EXPECT_EQ(t.scales(service(1, 80), kEpoch),
            scale_set(9) | scale_set(5) | scale_set(kAssumedScale));
}

unsigned kept(const ServiceTable& t, std::size_t n, const auto& nth) {
  unsigned found = 0;
  for (std::size_t i = 0; i < n; ++i) found += t.offer(nth(i)).window_scale == 9 ? 1U : 0U;
  return found;
}

FlowKey one_of_2048(std::size_t i, std::uint16_t port = 80) {
  FlowKey key = service(static_cast<std::uint8_t>(i), port);
  key.server[2] = static_cast<std::uint8_t>(8 + (i >> 8));
  return key;
}

TEST(Services, TwoThousandProtectedAddressesAllKeepWhatWasLearned) {
  ServiceTable t = table_for({"203.0.8.0/21"});
  for (std::size_t i = 0; i < 2048; ++i) {
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{443}}) {
      t.learn(one_of_2048(i, port), kEpoch, i, answer(true, true, true, 9));
    }
    t.learn_host(one_of_2048(i), kEpoch, i, {}, false);
  }
  for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{443}}) {
    EXPECT_EQ(kept(t, 2048, [&](std::size_t i) { return one_of_2048(i, port); }), 2048U);
  }
}

TEST(Services, ThePlacesFollowFromWhatIsProtected) {
  EXPECT_EQ(table_for({"203.0.113.10:80"}).capacity(), 1024U);
  EXPECT_GE(table_for({"203.0.8.0/21:80"}).capacity(), 4U * 2048U);
  EXPECT_EQ(table_for({"0.0.0.0/0", "[::]/0:1-65535"}).capacity(), 1U << 17);
}

// All ports of one server, while its neighbours have one service each.
TEST(Services, OneServersPortsPushOutOnlyItsOwn) {
  ServiceTable t = table_for({"203.0.8.0/21"});
  const auto neighbour = [](std::size_t i) { return one_of_2048(i + 1); };
  for (std::size_t i = 0; i < 2000; ++i) {
    t.learn(neighbour(i), kEpoch, i, answer(true, true, true, 9));
  }
  for (std::uint32_t port = 1; port <= 65'535; ++port) {
    t.learn(one_of_2048(0, static_cast<std::uint16_t>(port)), kEpoch, 5000 + port,
            answer(true, true, true, 9));
  }
  EXPECT_EQ(kept(t, 2000, neighbour), 2000U);
}

TEST(Services, AnotherVlanPushesNothingOut) {
  ServiceTable t = table_for({"203.0.8.0/21"});
  const auto ours = [](std::size_t i) { return one_of_2048(i); };
  for (std::size_t i = 0; i < 2000; ++i) {
    t.learn(ours(i), kEpoch, i, answer(true, true, true, 9));
  }
  for (std::size_t i = 0; i < 2048 * 60; ++i) {
    FlowKey theirs = one_of_2048(i % 2048, static_cast<std::uint16_t>(1000 + i / 2048));
    theirs.vlan = VlanStack{}.pushed(kEtherTypeVlan, 20);
    t.learn(theirs, kEpoch, 5000 + i, answer(true, true, true, 9));
  }
  EXPECT_GE(kept(t, 2000, ours), 1990U);
}

TEST(Services, WithoutRoomTheOnesConfirmedLongestAgoGiveWay) {
  ServiceTable t = table_for({"203.0.113.10"});
  constexpr std::uint16_t kMany = 20'000;
  const auto nth = [](std::size_t i) { return service(10, static_cast<std::uint16_t>(i + 1)); };
  for (std::size_t i = 0; i < kMany; ++i) {
    t.learn(nth(i), kEpoch, i, answer(true, true, true, 9));
    ASSERT_EQ(t.offer(nth(i)).window_scale, 9);
  }
  EXPECT_GE(kept(t, kMany, nth), t.capacity() * 3 / 4);
  EXPECT_GE(kept(t, 256, [&](std::size_t i) { return nth(kMany - 256 + i); }), 250U);
}

TEST(Services, CrawlIsOfOneService) {
  ServiceTable t = table_for({"203.0.113.10"});
  EXPECT_FALSE(t.note_crawl(service(10, 80))) << "nothing is known of it";
  t.learn(service(10, 80), kEpoch, 0, answer(true, true, true, 9));
  t.learn(service(10, 443), kEpoch, 0, answer(true, true, true, 9));
  EXPECT_FALSE(t.any_crawls());
  EXPECT_TRUE(t.note_crawl(service(10, 80)));
  EXPECT_FALSE(t.note_crawl(service(10, 80))) << "known";
  EXPECT_TRUE(t.any_crawls());
  EXPECT_TRUE(t.offer(service(10, 80)).crawls);
  EXPECT_FALSE(t.offer(service(10, 443)).crawls);
  t.learn(service(10, 80), kEpoch, 1000, answer(true, true, true, 9));
  EXPECT_TRUE(t.offer(service(10, 80)).crawls) << "as long as the entry is kept";
}

}  // namespace
}  // namespace synproxy
