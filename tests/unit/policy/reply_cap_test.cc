// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/reply_cap.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <vector>

namespace synproxy {
namespace {

constexpr ReplyCap::Key kKey{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
                             0x082efa98ec4e6c89};

LimitTuning rate(std::uint32_t per_second, SourceMask mask = {}) {
  LimitTuning t;
  t.reply = {.per_second = per_second, .mask = mask};
  return t;
}
using Address = std::array<std::uint8_t, 16>;
constexpr Address kVictim{198, 51, 100, 7};

class Caps : public ::testing::Test {
 protected:
  bool first(const Address& source, bool ipv6 = false) {
    return cap_.taker(now_ms_).take(cap_.place_of(source.data(), ipv6));
  }
  // Answered in the end, whether it is known to come again or not.
  bool syn(const Address& source, std::uint64_t flow, std::uint32_t isn) {
    const std::uint64_t place = cap_.place_of(source.data(), false);
    return cap_.taker(now_ms_).take(place) ||
           cap_.over(place, now_ms_, flow, isn) != ReplyCap::Answer::kNo;
  }
  void use(const LimitTuning& tuning) { cap_.retune(tuning); }

  ReplyCap cap_{rate(1000), 1, kKey};
  std::uint64_t now_ms_ = 10'000;
};

TEST_F(Caps, AQuarterOfASecondAtOnceAndThenTheRate) {
  for (unsigned i = 0; i < 250; ++i) ASSERT_TRUE(first(kVictim)) << i;
  EXPECT_FALSE(first(kVictim));
  for (unsigned ms = 0; ms < 5000; ++ms) {
    ++now_ms_;
    ASSERT_TRUE(first(kVictim)) << ms;
    ASSERT_FALSE(first(kVictim)) << ms;
  }
}

TEST_F(Caps, EveryRateIsMetWithinOnePerMille) {
  for (const std::uint32_t per_second : {1U, 3U, 7U, 999U, 20'000U, 999'999U}) {
    use(rate(per_second));
    const Address source{10, static_cast<std::uint8_t>(per_second), 1,
                         static_cast<std::uint8_t>(per_second >> 8)};
    double answered = 0;
    const unsigned ms = per_second > 1000 ? 3000 : 60'000;
    for (unsigned i = 0; i < ms; ++i) {
      ++now_ms_;
      while (first(source)) ++answered;
    }
    const double allowed = per_second * (ms / 1000.0) + std::max(per_second / 4, 1U);
    EXPECT_LE(answered, allowed * 1.001 + 1) << per_second;
    EXPECT_GE(answered, allowed * 0.999 - 1) << per_second;
  }
}

TEST_F(Caps, WorkersShareTheRate) {
  for (const std::uint32_t per_second : {1U, 10U, 1000U}) {
    double answered = 0;
    for (unsigned worker = 0; worker < 4; ++worker) {
      ReplyCap cap(rate(per_second), 4, kKey);
      const std::uint64_t place = cap.place_of(kVictim.data(), false);
      for (std::uint64_t ms = 1; ms <= 40'000; ++ms) {
        while (cap.taker(ms).take(place)) ++answered;
      }
    }
    EXPECT_LE(answered, per_second * 40.25 + 4) << per_second;
    EXPECT_GE(answered, per_second * 40.0 - 4) << per_second;
  }
}

TEST_F(Caps, PrefixesAreToldApartByTheirMasks) {
  struct Row {
    bool ipv6;
    SourceMask mask;
    unsigned differing_bit;
    bool same;
  };
  const Row rows[] = {
      {false, {.ipv4 = 32}, 31, false},
      {false, {.ipv4 = 24}, 31, true},
      {false, {.ipv4 = 24}, 24, true},
      {false, {.ipv4 = 24}, 23, false},
      {false, {.ipv4 = 1}, 0, false},
      {false, {.ipv4 = 0}, 0, true},
      {true, {}, 64, true},
      {true, {}, 63, false},
      {true, {.ipv6 = 48}, 48, true},
      {true, {.ipv6 = 48}, 47, false},
      {true, {.ipv6 = 128}, 127, false},
      {true, {.ipv6 = 65}, 64, false},
      {true, {.ipv6 = 65}, 65, true},
      {true, {.ipv6 = 0}, 0, true},
  };
  for (const Row& row : rows) {
    use(rate(1, row.mask));
    Address a{};
    std::mt19937 random(row.differing_bit);
    for (auto& byte : a) byte = static_cast<std::uint8_t>(random());
    Address b = a;
    b[row.differing_bit / 8] ^= static_cast<std::uint8_t>(0x80U >> row.differing_bit % 8);
    EXPECT_EQ(cap_.place_of(a.data(), row.ipv6) == cap_.place_of(b.data(), row.ipv6), row.same)
        << row.ipv6 << " bit " << row.differing_bit;
  }
}

TEST_F(Caps, WhoComesAgainASecondLaterGetsIn) {
  // A flood claims the victim's address, 300 times the rate.
  std::uint64_t flow = 1;
  const auto flood = [&](std::uint64_t ms) {
    for (; ms > 0; --ms, ++now_ms_) {
      for (unsigned i = 0; i < 300; ++i) {
        static_cast<void>(syn(kVictim, flow++ * 0x9e3779b97f4a7c15, 7));
      }
    }
  };
  flood(2000);
  unsigned refused = 0;
  unsigned again = 0;
  constexpr unsigned kClients = 100;
  for (std::uint32_t n = 0; n < kClients; ++n) {
    const std::uint64_t client = 0x123456789abcdef * (n + 1);
    while (first(kVictim)) {
    }
    refused += syn(kVictim, client, n) ? 0 : 1;
    flood(10);
  }
  for (std::uint32_t n = 0; n < kClients; ++n) {
    again += syn(kVictim, 0x123456789abcdef * (n + 1), n) ? 1 : 0;
    flood(10);
  }
  // The memory takes one stranger in a hundred for a client that comes again.
  EXPECT_GE(refused, kClients * 95 / 100);
  EXPECT_GE(again, kClients * 95 / 100);
}

TEST_F(Caps, ToSendEverythingTwiceGainsNothing) {
  double answered = 0;
  constexpr std::uint64_t kMs = 20'000;
  for (std::uint64_t ms = 0; ms < kMs; ++ms, ++now_ms_) {
    for (std::uint64_t i = 0; i < 20; ++i) {
      answered += syn(kVictim, (ms * 20 + i) * 0x9e3779b97f4a7c15, 1) ? 1 : 0;
      if (ms < 1000) continue;
      answered += syn(kVictim, ((ms - 1000) * 20 + i) * 0x9e3779b97f4a7c15, 1) ? 1 : 0;
    }
  }
  EXPECT_LE(answered, 1000.0 * kMs / 1000 + 500 + 1);
}

TEST_F(Caps, MonitoredIsToldAndChargesNothing) {
  LimitTuning t = rate(4);
  t.monitored = kMonitorReplyRate;
  use(t);
  const std::uint64_t place = cap_.place_of(kVictim.data(), false);
  EXPECT_TRUE(cap_.taker(now_ms_).take(place));
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_FALSE(cap_.taker(now_ms_).take(place));
    EXPECT_EQ(cap_.over(place, now_ms_, i, i), ReplyCap::Answer::kMonitored);
  }
  EXPECT_TRUE(cap_.taker(now_ms_ + 250).take(place));
}

// The figure that --reply-rate's reason gives: what floods that claim many victims at once do to
// everybody else.
TEST_F(Caps, AThousandVictimsHideHardlyAnyoneElse) {
  for (std::uint32_t victim = 0; victim < 1000; ++victim) {
    Address a{10, 1};
    store_be(a.data() + 2, static_cast<std::uint16_t>(victim * 7));
    for (unsigned i = 0; i < 300; ++i) static_cast<void>(first(a));
  }
  unsigned capped = 0;
  constexpr unsigned kOthers = 1'000'000;
  for (std::uint32_t n = 0; n < kOthers; ++n) {
    Address a{};
    store_be(a.data(), 0x20000000U + n * 977);
    const std::uint64_t place = cap_.place_of(a.data(), false);
    capped += cap_.taker(now_ms_).take(place) ? 0 : 1;
  }
  std::printf("of a million other sources %u lose their first SYN\n", capped);
  EXPECT_LE(capped, kOthers / 200);
}

// 10,000 browsers behind one address, with six connections each.
TEST_F(Caps, ANatThatLoadsAPageIsNotHarmed) {
  LimitTuning t;  // the default
  ASSERT_NE(t.reply.per_second, 0U);
  for (const std::uint64_t spread_ms : {10'000U, 1'000U}) {
    ReplyCap cap(t, 1, kKey);
    const std::uint64_t place = cap.place_of(kVictim.data(), false);
    struct Client {
      std::uint64_t flow;
      unsigned tries;
    };
    std::vector<std::vector<Client>> due(60'000);  // by millisecond
    std::mt19937_64 random(5);
    for (unsigned i = 0; i < 60'000; ++i) due[1000 + random() % spread_ms].push_back({random(), 0});
    std::array<unsigned, 8> in{};
    for (std::uint64_t ms = 1000; ms < 40'000; ++ms) {
      for (const Client& c : due[ms]) {
        if (cap.taker(ms).take(place) || cap.over(place, ms, c.flow, 1) == ReplyCap::Answer::kYes) {
          ++in[c.tries];
        } else if (c.tries < 4) {  // RFC 6298
          due[ms + (1000ULL << c.tries)].push_back({c.flow, c.tries + 1});
        }
      }
    }
    std::printf(
        "60,000 connections in %u ms: %u at once, %u after 1 s, %u after 3 s, %u after 7 s\n",
        static_cast<unsigned>(spread_ms), in[0], in[1], in[2], in[3]);
    if (spread_ms == 10'000) {
      EXPECT_EQ(in[0], 60'000U);
    }
    EXPECT_EQ(in[0] + in[1] + in[2], 60'000U);
  }
}

}  // namespace
}  // namespace synproxy
