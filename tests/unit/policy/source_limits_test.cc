// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/source_limits.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "support/rounds.h"

namespace synproxy {
namespace {

constexpr SourceLimits::Key kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL,
                                 0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL};
constexpr std::size_t kMegabyte = std::size_t{1} << 20;
using Refusal = SourceLimits::Refusal;

struct Address {
  std::array<std::uint8_t, 16> bytes{};
  bool ipv6 = false;
  [[nodiscard]] SourceLimits::Source source() const { return {bytes.data(), ipv6}; }
};

Address ipv4(std::uint32_t host_order) {
  Address a;
  for (unsigned i = 0; i < 4; ++i)
    a.bytes[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return a;
}
// 2001:db8:<high>::<low>
Address ipv6(std::uint16_t subnet, std::uint8_t low) {
  Address a{.bytes = {0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01}, .ipv6 = true};
  a.bytes[6] = static_cast<std::uint8_t>(subnet >> 8);
  a.bytes[7] = static_cast<std::uint8_t>(subnet);
  a.bytes[15] = low;
  return a;
}

struct Tuning : LimitTuning {
  Tuning& per_second(std::uint32_t n, std::uint32_t burst, SourceMask mask = {}) {
    rate.limits[rate.count++] = {.connections = n, .period_ms = 1000, .burst = burst, .mask = mask};
    return *this;
  }
  Tuning& open(std::uint32_t n, SourceMask mask = {}) {
    conns.limits[conns.count++] = {.connections = n, .mask = mask};
    return *this;
  }
  Tuning& monitor(std::uint8_t rules) {
    monitored = rules;
    return *this;
  }
};

class Limited {
 public:
  explicit Limited(const Tuning& tuning, std::size_t bytes = kMegabyte,
                   SourceLimits::Writers writers = SourceLimits::Writers::kSeveral)
      : rules_(tuning), table_(bytes, kKey, writers) {}
  SourceLimits::Charge charge(const Address& a, std::uint64_t now, const ConnSlots& replaced = {}) {
    return table_.charge(rules_, a.source(), now, replaced);
  }
  Refusal ask(const Address& a, std::uint64_t now) { return charge(a, now).refused; }
  [[nodiscard]] bool lets_in(const Address& a, std::uint64_t now) {
    return ask(a, now) == Refusal::kNone;
  }
  // How many of `n` are let in at once.
  unsigned let_in(const Address& a, std::uint64_t now, unsigned n) {
    unsigned in = 0;
    while (n-- > 0) in += lets_in(a, now) ? 1U : 0U;
    return in;
  }
  const LimitRules& rules() { return rules_; }
  void retune(const Tuning& tuning) { rules_ = LimitRules(tuning); }
  SourceLimits& table() { return table_; }

 private:
  LimitRules rules_;
  SourceLimits table_;
};

const Address kAlice = ipv4(0xc6336407);  // 198.51.100.7
const Address kBob = ipv4(0xc6336408);
constexpr std::uint64_t kNow = 86'400'000;

TEST(SourceRate, ABurstAndThenOnePerInterval) {
  Limited l(Tuning().per_second(100, 20));
  EXPECT_EQ(l.let_in(kAlice, kNow, 50), 20U);
  EXPECT_FALSE(l.lets_in(kAlice, kNow + 9));
  EXPECT_TRUE(l.lets_in(kAlice, kNow + 10));
  EXPECT_FALSE(l.lets_in(kAlice, kNow + 10));
  EXPECT_EQ(l.let_in(kAlice, kNow + 110, 50), 10U);
  EXPECT_EQ(l.let_in(kAlice, kNow + 10'000, 50), 20U) << "what is not used is not saved up";
  EXPECT_EQ(l.let_in(kBob, kNow, 50), 20U) << "a neighbour has a budget of his own";
}

TEST(SourceRate, WhoeverIsRefusedIsNotCharged) {
  Limited l(Tuning().per_second(100, 1));
  EXPECT_TRUE(l.lets_in(kAlice, kNow));
  EXPECT_EQ(l.let_in(kAlice, kNow + 9, 1000), 0U);
  EXPECT_TRUE(l.lets_in(kAlice, kNow + 10));
}

TEST(SourceRate, IsMetByEveryUnit) {
  struct Row {
    std::uint32_t connections, period_ms;
  };
  for (const Row& row :
       {Row{1, 1000}, Row{3, 1000}, Row{300, 1000}, Row{7'000, 1000}, Row{1'000'000, 1000},
        Row{7, 60'000}, Row{100, 3'600'000}, Row{1, 86'400'000}, Row{1'000'000, 86'400'000}}) {
    Tuning t;
    t.rate = {.limits = {{{.connections = row.connections,
                           .period_ms = row.period_ms,
                           .burst = 1,
                           .mask = {}}}},
              .count = 1};
    const RateRule rule = rate_rule(t.rate.limits[0]);
    const double in_a_period = static_cast<double>(std::uint64_t{row.period_ms} << rule.shift) /
                               static_cast<double>(rule.interval);
    EXPECT_NEAR(in_a_period / row.connections, 1.0, 0.001) << row.connections;
    Limited l(t);
    ASSERT_TRUE(l.lets_in(kAlice, kNow));
    EXPECT_TRUE(l.lets_in(kAlice, kNow + row.period_ms / row.connections + 1));
  }
}

TEST(SourceRate, AWorkerWhoseTimeIsBehindForgetsNoDebt) {
  Limited l(Tuning().per_second(100, 20));
  EXPECT_EQ(l.let_in(kAlice, kNow, 50), 20U);
  EXPECT_EQ(l.let_in(kAlice, kNow - 1, 50), 0U);
  EXPECT_EQ(l.let_in(kAlice, kNow - 900, 50), 0U);
}

TEST(SourceRate, SeveralMasksAreAllMet) {
  Limited l(Tuning().per_second(100, 5).per_second(100, 8, {.ipv4 = 24, .ipv6 = 48}));
  EXPECT_EQ(l.let_in(kAlice, kNow, 50), 5U);
  EXPECT_EQ(l.let_in(kBob, kNow, 50), 3U) << "the /24 has eight";
  EXPECT_EQ(l.let_in(ipv4(0xc6336507), kNow, 50), 5U) << "another /24";
  // Bob was refused by the /24, and his own budget was given back.
  EXPECT_EQ(l.let_in(kBob, kNow + 20, 50), 2U);
}

TEST(SourceRate, Ipv6SourcesAreTakenByTheirPrefix) {
  Limited l(Tuning().per_second(100, 5).per_second(100, 8, {.ipv4 = 24, .ipv6 = 48}));
  EXPECT_EQ(l.let_in(ipv6(1, 1), kNow, 3) + l.let_in(ipv6(1, 2), kNow, 50), 5U);
  EXPECT_EQ(l.let_in(ipv6(2, 1), kNow, 50), 3U) << "the /48 has eight";
  EXPECT_EQ(l.let_in(kAlice, kNow, 50), 5U);
}

TEST(SourceRate, AnEntryThatNobodyAskedForHasNoDebtWhenTimeComesRound) {
  Limited l(Tuning().per_second(1000, 20));
  EXPECT_EQ(l.let_in(kAlice, kNow, 50), 20U);
  const std::uint64_t round = std::uint64_t{1} << (40 - l.rules().rates()[0].shift);
  EXPECT_GT(round, 10 * 86'400'000ULL);
  EXPECT_EQ(l.let_in(kAlice, kNow + round / 2, 50), 20U);
}

TEST(SourceConns, AreCountedUntilTheyAreOver) {
  Limited l(Tuning().open(2));
  const auto first = l.charge(kAlice, kNow);
  const auto second = l.charge(kAlice, kNow);
  EXPECT_EQ(second.refused, Refusal::kNone);
  EXPECT_EQ(l.ask(kAlice, kNow + 3'600'000), Refusal::kConns);
  EXPECT_TRUE(l.lets_in(kBob, kNow));
  l.table().release(first.conns);
  EXPECT_TRUE(l.lets_in(kAlice, kNow));
  EXPECT_FALSE(l.lets_in(kAlice, kNow));
}

TEST(SourceConns, AConnectionThatTakesThePlaceOfAnotherNeedsNoRoom) {
  Limited l(Tuning().open(1));
  const auto old = l.charge(kAlice, kNow);
  EXPECT_EQ(l.charge(kBob, kNow, old.conns).refused, Refusal::kNone);
  EXPECT_EQ(l.charge(kBob, kNow, old.conns).refused, Refusal::kConns) << "not Bob's to replace";
  const auto next = l.charge(kAlice, kNow, old.conns);
  ASSERT_EQ(next.refused, Refusal::kNone);
  l.table().release(old.conns);
  EXPECT_FALSE(l.lets_in(kAlice, kNow));
  l.table().release(next.conns);
  EXPECT_TRUE(l.lets_in(kAlice, kNow));
}

TEST(SourceConns, WhatWasNotMadeIsGivenBack) {
  Limited l(Tuning().open(1).per_second(1, 1));
  const auto c = l.charge(kAlice, kNow);
  l.table().give_back(l.rules(), c);
  EXPECT_TRUE(l.lets_in(kAlice, kNow));
  EXPECT_EQ(l.ask(kAlice, kNow), Refusal::kConns);
}

TEST(SourceConns, AreHeldAgainWhateverTheLimitSays) {
  Limited l(Tuning().open(1));
  ASSERT_TRUE(l.lets_in(kAlice, kNow));
  const ConnSlots revived = l.table().hold(l.rules(), kAlice.source(), kNow);
  l.table().release(revived);
  EXPECT_FALSE(l.lets_in(kAlice, kNow));
}

TEST(SourceLimits, AMonitoredRuleCountsAndLetsPass) {
  Limited l(Tuning().open(1).per_second(1, 1).monitor(kMonitorLimitConns | kMonitorLimitRate));
  EXPECT_FALSE(l.charge(kAlice, kNow).over_conns);
  const auto c = l.charge(kAlice, kNow);
  EXPECT_EQ(c.refused, Refusal::kNone);
  EXPECT_TRUE(c.over_conns && c.over_rate);
  // The one that passed is open, and counts.
  l.table().release(c.conns);
  EXPECT_TRUE(l.charge(kAlice, kNow).over_conns);
}

TEST(SourceLimits, CountsOutliveAChangeOfTheLimit) {
  Limited l(Tuning().open(2));
  const auto first = l.charge(kAlice, kNow);
  ASSERT_TRUE(l.lets_in(kAlice, kNow));
  l.retune(Tuning().open(9, {.ipv4 = 24, .ipv6 = 48}).open(3));
  EXPECT_TRUE(l.lets_in(kAlice, kNow)) << "the third";
  EXPECT_FALSE(l.lets_in(kAlice, kNow));
  l.table().release(first.conns);
  EXPECT_TRUE(l.lets_in(kAlice, kNow));
}

// One line: eight entries.
TEST(SourceLimits, WhereAllEntriesAreInUseNewcomersShareOneOfTheirPrefix) {
  Limited l(Tuning().per_second(1, 3), 64);
  const auto at = [](std::uint32_t i) {
    return ipv4(0x0a000000 + i * 0x10000);
  };  // one of each /16
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(l.let_in(at(i), kNow, 9), 3U);
  const auto newcomer = l.charge(at(8), kNow);
  EXPECT_EQ(newcomer.refused, Refusal::kNone);
  EXPECT_EQ(newcomer.shared, 1);
  EXPECT_TRUE(l.lets_in(ipv4(0x0a080001), kNow));
  EXPECT_TRUE(l.lets_in(ipv4(0x0a080002), kNow));
  EXPECT_FALSE(l.lets_in(ipv4(0x0a080003), kNow)) << "the /16 has three together";
  EXPECT_TRUE(l.lets_in(at(9), kNow)) << "another /16";
  for (std::uint32_t i = 0; i < 8; ++i)
    EXPECT_FALSE(l.lets_in(at(i), kNow)) << "no debt is forgotten";
  EXPECT_EQ(l.charge(at(8), kNow + 3000).shared, 0) << "debts are paid, there is room again";
}

TEST(SourceLimits, ALiveConnectionKeepsItsEntryForEver) {
  Limited l(Tuning().open(1), 64);
  std::vector<SourceLimits::Charge> held;
  for (std::uint32_t i = 0; i < 8; ++i) held.push_back(l.charge(ipv4(0x0a000000 + i), kNow));
  const auto shared = l.charge(ipv4(0x0a000100), kNow + 86'400'000);
  EXPECT_EQ(shared.shared, 1);
  EXPECT_EQ(l.ask(ipv4(0x0a000101), kNow), Refusal::kConns);
  l.table().release(held[3].conns);
  EXPECT_EQ(l.charge(ipv4(0x0a000102), kNow).shared, 0);
  l.table().release(shared.conns);
  EXPECT_EQ(l.charge(ipv4(0x0a000103), kNow).refused, Refusal::kNone);
}

// One meaning whatever the number of workers.
TEST(SourceLimits, FourThreadsLetInNoMoreThanOneWould) {
  constexpr unsigned kSources = 64;
  Limited l(Tuning().open(7).per_second(100, 40), 1024);
  const LimitRules conns_only(Tuning().open(7));
  std::array<std::atomic<unsigned>, kSources> in{};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (unsigned round = 0; round < 20; ++round) {
        for (unsigned s = 0; s < kSources; ++s) {
          const Address a = ipv4(0x0a000000 + s * 0x10000);
          if (l.table().charge(l.rules(), a.source(), kNow).refused == Refusal::kNone) ++in[s];
        }
      }
    });
  }
  for (auto& t : threads) t.join();
  for (const auto& n : in) EXPECT_EQ(n, 7U);
}

// Nor is it another one if there is one worker, which does without locks.
TEST(SourceLimits, ASingleWriterLetsInWhatOneOfSeveralWould) {
  const auto tuning = Tuning()
                          .open(3)
                          .open(9, {.ipv4 = 24, .ipv6 = 48})
                          .per_second(10, 4)
                          .per_second(50, 20, {.ipv4 = 16, .ipv6 = 32});
  Limited one(tuning, 256, SourceLimits::Writers::kOne);
  Limited several(tuning, 256, SourceLimits::Writers::kSeveral);
  std::vector<SourceLimits::Charge> open;
  std::array<unsigned, 3> outcomes{};
  std::uint32_t x = 1;
  const auto random = [&](std::uint32_t below) {
    x = x * 1664525 + 1013904223;
    return (x >> 8) % below;
  };
  for (unsigned i = 0; i < 20'000; ++i) {
    const std::uint64_t now = kNow + i * 5;
    const std::uint32_t n = random(96);
    const Address a = n % 3 == 0 ? ipv6(static_cast<std::uint16_t>(n), 1)
                                 : ipv4(0x0a000000 + n % 12 + (n / 12 << 8) + (n / 48 << 16));
    const auto c = one.charge(a, now);
    const auto other = several.charge(a, now);
    ASSERT_EQ(c.refused, other.refused);
    ASSERT_EQ(c.conns, other.conns);
    ASSERT_EQ(c.rates, other.rates);
    ASSERT_EQ(c.shared, other.shared);
    ++outcomes[static_cast<std::size_t>(c.refused)];
    if (c.refused != Refusal::kNone) continue;
    if (random(8) == 0) {
      one.table().give_back(one.rules(), c);
      several.table().give_back(several.rules(), c);
      continue;
    }
    open.push_back(c);
    if (open.size() < 24) continue;
    const std::size_t over = random(static_cast<std::uint32_t>(open.size()));
    one.table().release(open[over].conns);
    several.table().release(open[over].conns);
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(over));
  }
  for (const unsigned n : outcomes) EXPECT_GT(n, 100U);
}

TEST(SourceLimits, ThreadsThatComeAndGoLeaveNothingBehind) {
  Limited l(Tuning().open(1000), 64);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&l, t] {
      for (std::uint32_t i = 0; i < 20'000; ++i) {
        const Address a = ipv4(0x0a000000 + i * 7 % 32 + t % 2);
        const auto c = l.table().charge(l.rules(), a.source(), kNow);
        EXPECT_EQ(c.refused, Refusal::kNone);
        l.table().release(c.conns);
      }
    });
  }
  for (auto& t : threads) t.join();
  l.retune(Tuning().open(1));
  for (std::uint32_t i = 0; i < 33; ++i) {
    const auto c = l.charge(ipv4(0x0a000000 + i), kNow);
    EXPECT_EQ(c.refused, Refusal::kNone) << i;
    EXPECT_EQ(c.shared, 0);
    l.table().release(c.conns);
  }
}

// A million real addresses, each in debt. Prints what becomes of newcomers from elsewhere.
TEST(SourceLimits, AMillionSourcesInDebtLeaveRoomForNewcomers) {
  struct Row {
    std::size_t bytes;
    double most_sharing;  // of newcomers
  };
  for (const Row& row :
       {Row{64 * kMegabyte, 0.0001}, Row{16 * kMegabyte, 0.05}, Row{8 * kMegabyte, 0.6}}) {
    Limited l(Tuning().open(8), row.bytes);
    std::uint32_t x = 1;
    for (unsigned i = 0; i < test::rounds(1'000'000U); ++i) {
      x = x * 1664525 + 1013904223;
      static_cast<void>(l.charge(ipv4(x), kNow));
    }
    unsigned sharing = 0;
    unsigned refused = 0;
    for (unsigned i = 0; i < 100'000; ++i) {
      x = x * 1664525 + 1013904223;
      const auto c = l.charge(ipv4(x), kNow);
      sharing += c.shared;
      refused += c.refused != Refusal::kNone ? 1U : 0U;
      l.table().release(c.conns);
    }
    std::printf("%zu MB: of 100,000 newcomers %u share a bucket, %u are refused\n",
                row.bytes / kMegabyte, sharing, refused);
    EXPECT_LE(sharing + refused, row.most_sharing * 100'000);
  }
}

}  // namespace
}  // namespace synproxy
