// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/offers.h"

#include <gtest/gtest.h>

#include <array>

namespace synproxy {
namespace {

constexpr std::uint64_t kEpoch = 100;

ServiceTable services_of_a_site() {
  return {ProtectSet({parse_protect_rule("203.0.113.0/24")}), IndexKey{1, 2, 3, 4}};
}

FlowKey service(std::uint32_t host, std::uint16_t port = 80, bool ipv6 = false) {
  FlowKey key;
  key.ipv6 = ipv6;
  key.server = {203, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)};
  key.server_port = port;
  return key;
}

ServiceTable::Answer answer(std::uint8_t scale, std::uint16_t window) {
  ServiceTable::Answer a;
  a.asked = {.timestamps = true, .sack = true, .ecn = true};
  a.scale_asked = true;
  a.options.timestamps = true;
  a.options.sack_permitted = true;
  a.options.window_scale = scale;
  a.options.mss = 1400;
  a.window = window;
  return a;
}

TEST(MakeOffer, FlagsWinAndAutoFollowsWhatWasLearned) {
  ServiceTable services = services_of_a_site();
  EngineTuning tuning;
  tuning.early_window = 8000;
  const FlowKey key = service(1);
  SynAckOffer o = make_offer(tuning, services, key, kEpoch);
  EXPECT_EQ(o.mss, 1460);
  EXPECT_EQ(make_offer(tuning, services, service(1, 80, true), kEpoch).mss, 1440);
  EXPECT_EQ(o.can, kOffersSack) << "nothing that cannot be taken back";
  EXPECT_EQ(o.scales, kEveryScale);
  for (unsigned i = 0; i < ServiceTable::kAnswersToPromise; ++i) {
    services.learn(key, kEpoch, 0, answer(9, 300));
  }
  o = make_offer(tuning, services, key, kEpoch);
  EXPECT_EQ(o.mss, 1400);
  EXPECT_EQ(o.window_scale, 9);
  EXPECT_EQ(o.window, kSmallestSegment) << "no less than a segment";
  EXPECT_TRUE(o.has(kOffersTimestamps | kOffersSack));
  EXPECT_FALSE(o.has(kOffersEcn));
  services.learn(key, kEpoch, 2 * ServiceTable::kLatelyMs, answer(9, 60'000));
  EXPECT_EQ(make_offer(tuning, services, key, kEpoch).window, 8000);
  tuning.offer = {.sack = Offer::kOff,
                  .timestamps = Offer::kOff,
                  .ecn = Offer::kOn,
                  .window_scale = 3,
                  .mss = 700};
  o = make_offer(tuning, services, key, kEpoch);
  EXPECT_EQ(o.can, kOffersEcn);
  EXPECT_EQ(o.window_scale, 3);
  EXPECT_EQ(o.mss, 700);
  EXPECT_EQ(o.scales, scale_set(3));
}

TEST(OfferCache, GivesWhatMakeOfferGivesThroughLearningAndTime) {
  ServiceTable services = services_of_a_site();
  const EngineTuning tuning;
  OfferCache cache;
  for (std::uint32_t step = 0; step < 5000; ++step) {
    // More services than there are entries, so that some share one.
    const FlowKey key =
        service(step * 7 % 1500, static_cast<std::uint16_t>(80 + step % 3), step % 4 == 0);
    const std::uint64_t epoch = kEpoch + step / 1000;
    if (step % 5 == 0) {
      services.learn(key, epoch, step, answer(static_cast<std::uint8_t>(step % 15), 5000));
    }
    const SynAckOffer want = make_offer(tuning, services, key, epoch);
    for (int again = 0; again < 2; ++again) {
      const SynAckOffer& got = cache.find(tuning, services, key, epoch);
      ASSERT_EQ(got.mss, want.mss) << step;
      ASSERT_EQ(got.window, want.window) << step;
      ASSERT_EQ(got.window_scale, want.window_scale) << step;
      ASSERT_EQ(got.can, want.can | kOffersCookies) << step;
      ASSERT_EQ(got.scales, want.scales) << step;
    }
  }
}

TEST(OfferCache, KnownIsOnlyWhatWasAskedForAndStillHolds) {
  ServiceTable services = services_of_a_site();
  const EngineTuning tuning;
  OfferCache cache;
  const FlowKey key = service(1);
  const KeyView view(key);
  const ServiceName name = service_name(view.identity);
  EXPECT_FALSE(cache.knows(name, view.server, {}));
  EXPECT_EQ(cache.find_known(services, name, view.server, {}, kEpoch), nullptr);
  static_cast<void>(cache.find(tuning, services, key, kEpoch));
  EXPECT_TRUE(cache.knows(name, view.server, {}));
  EXPECT_NE(cache.find_known(services, name, view.server, {}, kEpoch), nullptr);
  EXPECT_EQ(cache.find_known(services, name, view.server, {}, kEpoch + 1), nullptr)
      << "cookies expire";
  services.learn(service(2), kEpoch, 0, answer(9, 5000));
  EXPECT_EQ(cache.find_known(services, name, view.server, {}, kEpoch), nullptr);
  EXPECT_TRUE(cache.knows(name, view.server, {})) << "protected all the same";
  EXPECT_FALSE(cache.knows(service_name(KeyView(service(1, 81)).identity), view.server, {}));
}

// Two IPv6 addresses with the same digest: each gets its own offer.
TEST(OfferCache, AddressesOfOneDigestAreToldApart) {
  ServiceTable services = services_of_a_site();
  const EngineTuning tuning;
  OfferCache cache;
  FlowKey a = service(1, 443, true);
  FlowKey b = a;
  for (const std::size_t at : {4U, 12U})
    b.server[at] = static_cast<std::uint8_t>(b.server[at] ^ 0x55U);
  ASSERT_EQ(identity_of(a), identity_of(b));
  services.learn(a, kEpoch, 0, answer(3, 5000));
  services.learn(b, kEpoch, 0, answer(4, 5000));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(cache.find(tuning, services, a, kEpoch).window_scale, 3);
    EXPECT_FALSE(cache.knows(service_name(identity_of(b)), b.server.data(), {}));
    EXPECT_EQ(cache.find(tuning, services, b, kEpoch).window_scale, 4);
  }
}

TEST(OfferCache, TheSameServiceInAnotherVlanHasItsOwnOffer) {
  ServiceTable services = services_of_a_site();
  const EngineTuning tuning;
  OfferCache cache;
  for (const bool ipv6 : {false, true}) {
    std::array<FlowKey, 4> keys;
    keys.fill(service(1, 443, ipv6));
    keys[1].vlan = VlanStack{}.pushed(kEtherTypeVlan, 10);
    keys[2].vlan = VlanStack{}.pushed(kEtherTypeQinQ, 10);
    keys[3].vlan = VlanStack{}.pushed(kEtherTypeVlan, 10).pushed(kEtherTypeVlan, 10);
    for (std::uint8_t i = 0; i < keys.size(); ++i) {
      services.learn(keys[i], kEpoch, 0, answer(static_cast<std::uint8_t>(i + 1), 5000));
    }
    for (int round = 0; round < 2; ++round) {
      for (std::uint8_t i = 0; i < keys.size(); ++i) {
        EXPECT_EQ(cache.find(tuning, services, keys[i], kEpoch).window_scale, i + 1);
      }
    }
  }
}

// Tags whose digests are equal.
TEST(OfferCache, TagsOfOneDigestAreToldApart) {
  ServiceTable services = services_of_a_site();
  const EngineTuning tuning;
  OfferCache cache;
  const auto tagged = [](std::uint32_t outer, std::uint32_t inner) {
    FlowKey key = service(1);
    key.vlan = VlanStack{}
                   .pushed(kEtherTypeVlan, static_cast<std::uint16_t>(outer))
                   .pushed(kEtherTypeVlan, static_cast<std::uint16_t>(inner));
    return key;
  };
  const FlowKey a = tagged(1, 1);
  const auto name = service_name(identity_of(a));
  unsigned alike = 0;
  for (std::uint32_t i = 2; i < 200'000 && alike == 0; ++i) {
    const FlowKey b = tagged(1 + i / 4000, 1 + i % 4000);
    if (service_name(identity_of(b)) != name) continue;
    ++alike;
    static_cast<void>(cache.find(tuning, services, a, kEpoch));
    EXPECT_TRUE(cache.knows(name, a.server.data(), a.vlan));
    EXPECT_FALSE(cache.knows(name, a.server.data(), b.vlan));
  }
  EXPECT_EQ(alike, 1U);
}

TEST(OfferCache, ANewTuningHoldsAtOnceAndTheOldScaleForAsLongAsItsCookies) {
  ServiceTable services = services_of_a_site();
  OfferCache cache;
  EarlierTuning earlier;
  EngineTuning from;
  EngineTuning to;
  from.offer.window_scale = 7;
  to.offer.window_scale = 9;
  const FlowKey key = service(1);
  EXPECT_EQ(cache.find(from, services, key, kEpoch).scales, scale_set(7));
  earlier.changed(from, to, kEpoch, 0);
  cache.retuned(earlier);
  for (const std::uint64_t epoch : {kEpoch, kEpoch + 1}) {
    EXPECT_EQ(cache.find(to, services, key, epoch).window_scale, 9);
    EXPECT_EQ(cache.find(to, services, key, epoch).scales, scale_set(7) | scale_set(9));
  }
  EXPECT_EQ(cache.find(to, services, key, kEpoch + 2).scales, scale_set(9));
}

TEST(OfferCache, WhatAutoHasOfferedCountsAfterIt) {
  ServiceTable services = services_of_a_site();
  OfferCache cache;
  EarlierTuning earlier;
  EngineTuning fixed;
  fixed.offer.window_scale = 2;
  earlier.changed(EngineTuning{}, fixed, kEpoch, 0);
  cache.retuned(earlier);
  EXPECT_EQ(cache.find(fixed, services, service(1), kEpoch).scales, kEveryScale);
  services.learn(service(1), kEpoch, 0, answer(5, 9000));
  EXPECT_EQ(cache.find(fixed, services, service(1), kEpoch).scales,
            scale_set(2) | scale_set(5) | scale_set(kAssumedScale));
}

TEST(EarlierTuning, WindowsOfTheLastChangesBindUntilTheirCookiesHaveExpired) {
  EarlierTuning earlier;
  const auto window = [](std::uint32_t bytes) {
    EngineTuning t;
    t.early_window = bytes;
    return t;
  };
  EXPECT_EQ(earlier.least_window(window(500), kEpoch), 500U);
  EXPECT_EQ(earlier.most_window(window(500), kEpoch), 500U);
  earlier.changed(window(0), window(9000), kEpoch, 0);
  earlier.changed(window(9000), window(500), kEpoch + 1, 0);
  EXPECT_EQ(earlier.least_window(window(500), kEpoch + 2), 0U);
  EXPECT_EQ(earlier.most_window(window(500), kEpoch + 2), 9000U);
  EXPECT_EQ(earlier.least_window(window(500), kEpoch + 3), 500U);
  EXPECT_EQ(earlier.most_window(window(500), kEpoch + 3), 500U);
  earlier.changed(window(500), window(600), kEpoch + 4, 0);
  EXPECT_EQ(earlier.most_window(window(600), kEpoch + 4), 600U) << "the old ones are forgotten";
}

TEST(EarlierTuning, KnowsSinceWhenOffersStand) {
  EarlierTuning earlier;
  EXPECT_TRUE(earlier.same_offer_since(0, 0));
  EngineTuning to;
  to.early_window = 1;
  earlier.changed(EngineTuning{}, to, kEpoch, 500);
  EXPECT_TRUE(earlier.same_offer_since(0, 600)) << "they have not changed";
  to.offer.ecn = Offer::kOff;
  // The clock of flows has 32 bits.
  const std::uint64_t now = (1ULL << 32) + 10;
  earlier.changed(EngineTuning{}, to, kEpoch, now);
  EXPECT_FALSE(earlier.same_offer_since(0xfffffff0U, now + 5));
  EXPECT_FALSE(earlier.same_offer_since(10, now + 5));
  EXPECT_TRUE(earlier.same_offer_since(11, now + 5));
}

}  // namespace
}  // namespace synproxy
