// SPDX-License-Identifier: BSD-3-Clause
// Plain cookies of a tight epoch: what they carry, how hard they are to guess, and that all who
// read them know which ones they are.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <thread>
#include <vector>

#include "support/rounds.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/epoch.h"
#include "unit/cookie/cookie_samples.h"

namespace synproxy {
namespace {

using test::kKey;
using test::kOffered;
using test::offered_for;

constexpr LayoutKey kTight{
    .k0 = kKey.k0, .k1 = kKey.k1, .multiplier = kKey.multiplier, .tight = true};

TEST(TightCookie, GivesBackWhatFits) {
  std::mt19937_64 random(2);
  for (unsigned mss = 1; mss <= 65535; mss += mss < 1600 ? 1 : 61) {
    const std::uint16_t want = mss >= 1460   ? 1460
                               : mss >= 1440 ? 1440
                               : mss >= 1220 ? 1220
                               : mss >= 536  ? 536
                                             : 64;
    for (std::uint8_t scale = 0; scale <= 15; ++scale) {
      for (const bool sack : {false, true}) {
        const ClientOptions asked{
            .mss = static_cast<std::uint16_t>(mss), .wscale = scale, .sack = sack};
        ClientOptions fit = fit_for_tight_cookie(asked);
        const bool rich = sack && scale >= 7 && scale < 15 && mss >= 1220;
        ASSERT_EQ(fit.sack, rich);
        ASSERT_EQ(fit.wscale, rich ? 7 : kNoScale) << "never more than the client has";
        fit.offered_scale = offered_for(fit.wscale);
        const std::uint64_t mac = random();
        const unsigned parity = mac >> 17 & 1;
        const Cookie cookie = make_cookie(mac, kTight, parity, fit);
        ASSERT_EQ(cookie_parity(cookie.isn), parity);
        ClientOptions out;
        ASSERT_TRUE(check_cookie(mac, kTight, cookie, false, kOffered, out));
        ASSERT_EQ(out.mss, want) << mss;
        ASSERT_EQ(out.sack, fit.sack);
        ASSERT_EQ(out.wscale, fit.wscale);
        ASSERT_EQ(out.offered_scale, fit.offered_scale);
        ASSERT_FALSE(out.ecn || out.timestamps);
      }
    }
  }
}

// Of the 2^31 ISNs of one parity, as many pass as there are values of the masked bits.
TEST(TightCookie, EightIsnsPassWhereOtherwiseAHundredAndTwentyEightDo) {
  constexpr std::uint64_t kMac = 0x0123456789abcdefULL;
  ClientOptions out;
  const auto passes = [&](const LayoutKey& key, std::uint32_t isn, ScaleSet scales) {
    return check_cookie(kMac, key, {.isn = isn, .tsval = 0}, false, scales, out);
  };
  // The tag that fits, for each value of the masked bits.
  const auto isns = [&](const LayoutKey& key, unsigned option_bits) {
    std::vector<std::uint32_t> all;
    for (std::uint32_t masked = 0; masked < 1U << option_bits; ++masked) {
      const std::uint64_t x = (masked ^ kMac) & ((1ULL << option_bits) - 1);
      const ClientOptions options = key.tight ? unpack_tight(x) : unpack_plain(x);
      const std::uint64_t sum =
          kMac + key.multiplier * layout::covered(x, offered_for(options.wscale));
      const std::uint64_t tag = sum >> layout::isn_tag_shift(option_bits);
      all.push_back(static_cast<std::uint32_t>((tag << option_bits | masked) << 1));
    }
    return all;
  };
  const auto usual = isns(kKey, layout::kIsnOptionBits);
  const auto tight = isns(kTight, layout::kTightOptionBits);
  EXPECT_EQ(usual.size(), 128U);
  EXPECT_EQ(tight.size(), 8U);
  for (const std::uint32_t isn : usual) EXPECT_TRUE(passes(kKey, isn, kOffered));
  for (const std::uint32_t isn : tight) EXPECT_TRUE(passes(kTight, isn, kOffered));
  // And no other, for one value of the masked bits: of all tags, those that agree with the one that
  // fits in its upper bits, and those that agree in its lower ones. With one scale offered, and
  // where nothing is known.
  for (const ScaleSet scales : {kOffered, kEveryScale}) {
    const std::uint32_t good = tight[5];
    unsigned found = 0;
    for (std::uint32_t other = 0; other < test::tries(1U << 24); ++other) {
      found += passes(kTight, good + (other << 8), scales) ? 1U : 0U;
    }
    for (std::uint32_t other = 0; other < 1U << 16; ++other) {
      found += passes(kTight, (good & 0xfff0000eU) | other << 4, scales) ? 1U : 0U;
    }
    EXPECT_GE(found, 2U);
    EXPECT_LE(found, scales == kOffered ? 2U : 2U + 3U) << "15 scales, 2^24 of 2^28 tags";
  }
}

TEST(TightEpochs, TheFirstWhoAsksSettlesIt) {
  KeyRing ring;
  EXPECT_FALSE(ring.is_tight(100));
  ring.want_tight(true);
  EXPECT_FALSE(ring.is_tight(100)) << "a wish settles nothing";
  EXPECT_TRUE(ring.settle_tight(100));
  ring.want_tight(false);
  EXPECT_TRUE(ring.settle_tight(100)) << "too late";
  EXPECT_TRUE(ring.is_tight(100));
  EXPECT_FALSE(ring.settle_tight(101));
  EXPECT_TRUE(ring.settle_tight(102, true)) << "of the process before this one";
  EXPECT_TRUE(ring.settle_tight(102, false));
  EXPECT_FALSE(ring.settle_tight(104));  // the slot of 100
  EXPECT_FALSE(ring.is_tight(100));
  EXPECT_FALSE(ring.settle_tight(100, true)) << "nobody can have it any more";
  EXPECT_FALSE(ring.settle_tight(104));
}

TEST(TightEpochs, AllWhoAskAtOnceGetOneAnswer) {
  for (std::uint64_t epoch = 1000; epoch < 1200; ++epoch) {
    const KeyRing ring;
    std::array<bool, 2> said{};
    std::thread other([&] { said[0] = ring.settle_tight(epoch, true); });
    said[1] = ring.settle_tight(epoch, false);
    other.join();
    ASSERT_EQ(said[0], said[1]);
    ASSERT_EQ(ring.is_tight(epoch), said[0]);
  }
}

EpochKeys keys_of(std::uint64_t epoch) {
  EpochKeys keys;
  keys.epoch = epoch;
  keys.timestamps = keys.plain = kKey;
  return keys;
}

TEST(TightEpochs, AWishCountsFromTheNextEpochOnIfItComesBeforeTheMiddle) {
  KeyRing ring;
  for (std::uint64_t e = 9; e <= 12; ++e) ring.publish(keys_of(e));
  WorkerKeys one;
  WorkerKeys two;
  const auto both = [&](EpochClock clock) {
    for (WorkerKeys* w : {&one, &two}) w->refresh(ring, clock);
  };
  const auto tight = [](const WorkerKeys& w, unsigned parity) {
    return w.for_parity(parity)->plain.tight;
  };
  both({10, false});
  ring.want_tight(true);
  one.refresh(ring, {10, true});
  ring.want_tight(false);  // after the first worker has settled it
  two.refresh(ring, {10, true});
  for (const WorkerKeys* w : {&one, &two}) {
    EXPECT_FALSE(w->current()->plain.tight);
    EXPECT_TRUE(tight(*w, 1)) << "epoch 11, for whom is ahead";
  }
  // One of them is a little ahead of the other: it makes cookies that the other has to know.
  one.refresh(ring, {11, false});
  EXPECT_TRUE(one.current()->plain.tight);
  EXPECT_EQ(two.for_parity(1)->epoch, 11U);
  EXPECT_TRUE(tight(two, 1));
  both({11, false});
  EXPECT_TRUE(tight(one, 1));
  EXPECT_FALSE(tight(one, 0)) << "cookies of epoch 10 are as they were";
  EXPECT_FALSE(one.current()->timestamps.tight);
  both({11, true});
  EXPECT_FALSE(tight(one, 0)) << "epoch 12, by the later wish";
  both({12, false});
  EXPECT_FALSE(one.current()->plain.tight);
  EXPECT_TRUE(tight(one, 1)) << "cookies of epoch 11 are as they were";
}

TEST(TightEpochs, AWorkerThatSleptThroughAnEpochFindsWhatTheOthersHaveSettled) {
  KeyRing ring;
  for (std::uint64_t e = 9; e <= 12; ++e) ring.publish(keys_of(e));
  WorkerKeys awake;
  WorkerKeys asleep;
  asleep.refresh(ring, {10, false});
  ring.want_tight(true);
  awake.refresh(ring, {10, false});
  awake.refresh(ring, {10, true});
  ring.want_tight(false);
  asleep.refresh(ring, {11, false});
  EXPECT_TRUE(asleep.current()->plain.tight);
  EXPECT_FALSE(asleep.for_parity(0)->plain.tight);
}

}  // namespace
}  // namespace synproxy
