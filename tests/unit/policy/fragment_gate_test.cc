// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/fragment_gate.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "synproxy/policy/known_sources.h"

namespace synproxy {
namespace {

// A stranger's packet gets through a flood of 512,000 fragments a second at one of its next tries.
TEST(FragmentGate, StrangerThatTriesAgainGetsThroughAFlood) {
  std::mt19937_64 random(5);
  unsigned served = 0;
  constexpr unsigned kClients = 400;
  FragmentGate gate;
  std::vector<std::uint64_t> clients(kClients);
  for (auto& c : clients) c = random();
  std::vector<bool> done(kClients);
  // A client sends after 0, 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s, two fragments in a row.
  for (std::uint64_t ms = 1; ms < 12'700; ++ms) {
    for (unsigned i = 0; i < 512; ++i) static_cast<void>(gate.admits(random(), false, ms));
    for (unsigned c = 0; c < kClients; ++c) {
      const std::uint64_t at = ms - c % 64;
      const bool sends = at == 1 || at == 201 || at == 601 || at == 1401 || at == 3001 ||
                         at == 6201 || at == 12'601;
      if (!sends || done[c]) continue;
      const bool first = gate.admits(clients[c], false, ms);
      const bool both = gate.admits(clients[c], false, ms) && first;
      done[c] = both;
      served += both ? 1 : 0;
    }
  }
  EXPECT_GT(served, kClients * 7 / 10);
}

TEST(FragmentGate, OneSourceCannotUseUpTheBudget) {
  FragmentGate gate;
  for (std::uint64_t ms = 1; ms < 100; ++ms) {
    for (unsigned i = 0; i < 5000; ++i) {
      static_cast<void>(gate.admits(1, false, ms));
      static_cast<void>(gate.admits(2, true, ms));
    }
    EXPECT_TRUE(gate.admits(0xffff'0003, false, ms));
    EXPECT_TRUE(gate.admits(4, true, ms));
  }
}

TEST(KnownSources, AreForgottenAfterTenMinutes) {
  const auto known = std::make_unique<KnownSources>();
  EXPECT_FALSE(known->knows(5, 0));
  known->learn(5, 3000);
  EXPECT_TRUE(known->knows(5, 3000));
  EXPECT_TRUE(known->knows(5, 3000 + KnownSources::kLifeMs - 1000));
  EXPECT_FALSE(known->knows(5, 3000 + KnownSources::kLifeMs));
  EXPECT_FALSE(known->knows(5 + (1U << 20), 3000)) << "same slot";
}

}  // namespace
}  // namespace synproxy
