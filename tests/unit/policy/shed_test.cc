// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/shed.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <vector>

namespace synproxy {
namespace {

constexpr SynShedder::Key kKey{0x0123456789abcdefU, 0xfedcba9876543210U, 0x0f1e2d3c4b5a6978U,
                               0x1122334455667788U};
constexpr std::size_t kSmallMemory = 1 << 10;

SynIdentity ipv4(std::uint32_t source, std::uint32_t isn = 0) {
  return {{source, 0}, 0x50009c40ULL | std::uint64_t{isn} << 32};
}

// Keeps the share as it is: the queue is sometimes full and sometimes empty.
constexpr SynShedder::News kHeld{.refused = true, .ran_empty = true};

// Lowers the share to this one.
void press(SynShedder& shedder, std::uint64_t& ms, double share) {
  while (shedder.shed_per_mille() < 1000 - 1000 * share) shedder.tick(++ms, {.refused = true});
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

bool through(SynShedder& shedder, const SynIdentity& syn) {
  return shedder.let_through({&syn, 1}) != 0;
}

TEST(SynShedder, LetsEverythingThroughAtFirst) {
  SynShedder shedder(kKey, kSmallMemory);
  shedder.tick(1, {.ran_empty = true});
  EXPECT_FALSE(shedder.shedding());
  EXPECT_EQ(shedder.shed_per_mille(), 0U);
  for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_TRUE(through(shedder, ipv4(i)));
}

TEST(SynShedder, AnswersTheShareThatItSays) {
  for (const double share : {0.75, 0.4, 0.1}) {
    SynShedder shedder(kKey, kSmallMemory);
    std::uint64_t ms = 10'000;
    press(shedder, ms, share);
    const double told = 1 - shedder.shed_per_mille() / 1000.0;
    for (const bool in_a_row : {true, false}) {
      Random random(11);
      unsigned count = 0;
      constexpr unsigned kSyns = 20'000;
      for (std::uint32_t i = 0; i < kSyns; ++i) {
        const std::uint32_t source = in_a_row ? 0x0a000000U + i * 0x01000000U + i : random();
        count += through(shedder, ipv4(source, random())) ? 1 : 0;
      }
      EXPECT_NEAR(count / static_cast<double>(kSyns), told, 0.02) << share << in_a_row;
    }
  }
}

TEST(SynShedder, BurstIsDecidedAsItsSynsAlone) {
  SynShedder burst(kKey, kSmallMemory);
  SynShedder single(kKey, kSmallMemory);
  std::uint64_t ms = 1000;
  press(burst, ms, 0.5);
  ms = 1000;
  press(single, ms, 0.5);
  Random random(5);
  std::vector<SynIdentity> syns;
  for (std::size_t i = 0; i < kMaxBurst; ++i) syns.push_back(ipv4(random(), random()));
  for (int again = 0; again < 3; ++again, ms += 1000) {
    const std::uint32_t mask = burst.let_through(syns);
    for (std::size_t i = 0; i < syns.size(); ++i) {
      EXPECT_EQ((mask >> i & 1U) != 0, through(single, syns[i])) << i;
    }
    burst.tick(ms + 1000, kHeld);
    single.tick(ms + 1000, kHeld);
  }
}

TEST(SynShedder, AllSynsOfAnAddressShareTheirLot) {
  SynShedder shedder(kKey, kSmallMemory);
  std::uint64_t ms = 1000;
  press(shedder, ms, 0.5);
  Random random(6);
  for (int address = 0; address < 200; ++address) {
    const std::uint32_t source = random();
    const bool first = through(shedder, ipv4(source, random()));
    for (int connection = 0; connection < 5; ++connection) {
      EXPECT_EQ(through(shedder, ipv4(source, random())), first);
    }
  }
}

TEST(SynShedder, ShedSynThatComesAgainASecondLaterGetsThrough) {
  SynShedder shedder(kKey);
  std::uint64_t ms = 5000;
  press(shedder, ms, 0.05);
  std::vector<SynIdentity> shed;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const SynIdentity syn = ipv4(i * 77, i);
    if (!through(shedder, syn)) shed.push_back(syn);
  }
  EXPECT_GT(shed.size(), 900U);
  shedder.tick(ms + 1010, kHeld);
  for (const SynIdentity& syn : shed) ASSERT_TRUE(through(shedder, syn)) << syn.source[0];
}

TEST(SynShedder, SourceAddressesOfIpv6AreDecidedByAllTheirBits) {
  SynShedder shedder(kKey, kSmallMemory);
  std::uint64_t ms = 5000;
  press(shedder, ms, 0.5);
  unsigned high = 0;
  unsigned low = 0;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    high += through(shedder, {{0x20010db8U + (i << 32), 7}, i}) ? 1 : 0;
    low += through(shedder, {{0x20010db8U, i << 40}, i}) ? 1 : 0;
  }
  EXPECT_NEAR(high, 1000, 200);
  EXPECT_NEAR(low, 1000, 200);
}

TEST(SynShedder, OtherKeysAndLaterTimesDrawOtherLots) {
  constexpr std::uint32_t kSources = 2000;
  const auto lots = [](const SynShedder::Key& key, std::uint64_t start) {
    SynShedder shedder(key, kSmallMemory);
    std::uint64_t ms = start;
    shedder.tick(ms, kHeld);
    press(shedder, ms, 0.5);
    std::vector<bool> result;
    for (std::uint32_t i = 0; i < kSources; ++i) result.push_back(through(shedder, ipv4(i, i)));
    return result;
  };
  const auto agreeing = [](const std::vector<bool>& a, const std::vector<bool>& b) {
    unsigned n = 0;
    for (std::uint32_t i = 0; i < kSources; ++i) n += a[i] == b[i] ? 1 : 0;
    return n;
  };
  const auto base = lots(kKey, 1000);
  EXPECT_EQ(agreeing(base, lots(kKey, 1000)), kSources);
  for (std::size_t word = 0; word < kKey.size(); ++word) {
    SynShedder::Key other = kKey;
    other[word] ^= 1U << 20;
    EXPECT_LT(agreeing(base, lots(other, 1000)), kSources * 7 / 10) << word;
  }
  // After sixteen turns of 16/3 s the window stands at the same place again, but the key has
  // changed.
  EXPECT_LT(agreeing(base, lots(kKey, 1000 + 256'000 / 3)), kSources * 7 / 10);
}

// Clients in a flood; each sends until it is let through. The test holds `share` by hand, as for a
// worker that can answer that much of the flood.
struct Outcome {
  double by_second_syn = 0;
  double by_last_syn = 0;
};

struct Flood {
  double share;
  std::uint32_t per_ms;
  bool repeats;              // every SYN comes again 1,024 ms later
  std::size_t memory_lines;  // each is good for 12 SYNs a second
};

constexpr std::array<std::uint64_t, 5> kSendsAtMs{0, 1000, 3000, 7000, 15'000};

Outcome clients_in(const Flood& flood) {
  constexpr int kClients = 1000;
  SynShedder shedder(kKey, flood.memory_lines);
  std::uint64_t ms = 7000;
  press(shedder, ms, flood.share);
  Random random(123);
  struct Client {
    SynIdentity syn;
    std::uint64_t start;
    std::size_t sent = 0;
  };
  std::multimap<std::uint64_t, Client> due;
  for (int i = 0; i < kClients; ++i) {
    const std::uint64_t start = ms + 3000 + random() % 5000;
    due.emplace(start, Client{ipv4(random(), random()), start});
  }
  Outcome outcome;
  std::vector<std::vector<SynIdentity>> sent(1024);
  for (; !due.empty(); ++ms) {
    shedder.tick(ms, kHeld);
    std::vector<SynIdentity>& burst = sent[ms % 1024];
    if (!flood.repeats || ms % 2048 < 1024) {
      burst.clear();
      for (std::uint32_t i = 0; i < flood.per_ms; ++i) burst.push_back(ipv4(random(), random()));
    }
    static_cast<void>(shedder.let_through(burst));
    while (!due.empty() && due.begin()->first <= ms) {
      Client c = due.begin()->second;
      due.erase(due.begin());
      ++c.sent;
      if (through(shedder, c.syn)) {
        outcome.by_second_syn += c.sent <= 2 ? 1.0 / kClients : 0;
        outcome.by_last_syn += 1.0 / kClients;
      } else if (c.sent < kSendsAtMs.size()) {
        // Timers fire late by some hundredths of a second.
        due.emplace(c.start + kSendsAtMs[c.sent] + random() % 30, c);
      }
    }
  }
  return outcome;
}

TEST(SynShedder, ClientThatRetriesGetsThroughAFloodThatFitsTheMemory) {
  for (const double share : {0.5, 0.2, 0.03}) {
    const Outcome o = clients_in({share, 6, false, 1 << 10});
    EXPECT_NEAR(o.by_second_syn, 1, 1e-9) << share;
  }
}

// Ten times more than the memory takes: nine clients in ten must wait for the window.
TEST(SynShedder, ClientThatRetriesGetsThroughAFloodThatDoesNot) {
  for (const double share : {0.6, 0.32}) {
    const Outcome o = clients_in({share, 15, false, 1 << 7});
    EXPECT_NEAR(o.by_last_syn, 1, 1e-9) << share;
    EXPECT_GT(o.by_second_syn, share) << share;
  }
}

// Then the memory is of no use, but does no harm.
TEST(SynShedder, FloodThatRepeatsItselfIsLeftToTheWindow) {
  const Outcome o = clients_in({0.32, 15, true, 1 << 7});
  EXPECT_NEAR(o.by_last_syn, 1, 1e-9);
}

}  // namespace
}  // namespace synproxy
