// SPDX-License-Identifier: BSD-3-Clause
// Runs a share of the seeds (number SYNPROXY_SHARD of SYNPROXY_SHARDS, from 1), so that they spread
// over the cores. A failing seed prints its number: SYNPROXY_SEED=<n> runs it alone,
// SYNPROXY_TRACE=1 shows its packets. SYNPROXY_SEEDS=<n> runs the seeds up to n instead. With
// SYNPROXY_DIES=1 the process dies in each of them, a few times.
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "peer.h"
#include "runner.h"
#include "support/rounds.h"

namespace synproxy::test::sim {
namespace {

constexpr std::uint64_t kSeeds = 20'000;
// The first of them are run under the sanitizers, which take ten times as long, and the others
// without.
constexpr std::uint64_t kSanitizedSeeds = 1'000;

std::uint64_t shards() { return from_environment("SYNPROXY_SHARDS", 1); }

bool is_ours(std::uint64_t seed) {
  return seed % shards() == from_environment("SYNPROXY_SHARD", 1) % shards();
}

TEST(Simulator, EveryConnectionIsAsGoodAsOneWithoutTheProxy) {
  announce_crashes();
  const bool trace = from_environment("SYNPROXY_TRACE", 0) != 0;
  if (const std::uint64_t one = from_environment("SYNPROXY_SEED", 0); one != 0) {
    EXPECT_EQ(run_seed(one, trace).failure, "");
    return;
  }
  std::uint64_t chance_hits = 0;
  std::uint64_t limited = 0;
  std::uint64_t told = 0;
  std::uint64_t offloaded = 0;
  std::uint64_t run = 0;
  const std::uint64_t asked = from_environment("SYNPROXY_SEEDS", 0);
  const std::uint64_t before = asked != 0 || kSanitized ? 0 : kSanitizedSeeds;
  const std::uint64_t last = asked != 0 ? asked : kSanitized ? kSanitizedSeeds : kSeeds;
  for (std::uint64_t seed = before + 1; seed <= last; ++seed) {
    if (!is_ours(seed)) continue;
    const Outcome outcome = run_seed(seed, trace);
    ASSERT_EQ(outcome.failure, "") << "again with SYNPROXY_SEED=" << seed;
    chance_hits += outcome.chance_hit ? 1 : 0;
    limited += outcome.limited ? 1 : 0;
    told += outcome.told ? 1 : 0;
    offloaded += outcome.offloaded ? 1 : 0;
    ++run;
  }
  EXPECT_GE(limited, run / 40) << "limits per source hardly ever refuse anything";
  EXPECT_GE(told, run / 20) << "ICMP errors are hardly ever translated";
  // A shard of a thousand seeds is too small to show more.
  EXPECT_GE(offloaded, run / (kSanitized ? 40 : 20)) << "the kernel hardly ever carries anything";
  EXPECT_LE(chance_hits, 1 + last / 10'000) << "cookies are hit far too often";
}

// Each has failed once, many of them by a fault of the judges (referee_test.cc).
TEST(Simulator, SeedsThatFailedAreClean) {
  for (const std::uint64_t seed :
       {11'657U, 30'672U, 44'392U, 5'003'937U, 5'118'643U, 5'165'563U, 5'279'623U, 5'350'615U,
        7'002'907U, 7'027'879U, 7'028'555U, 7'053'922U, 7'073'483U, 7'141'128U, 7'295'139U}) {
    if (!is_ours(seed)) continue;
    EXPECT_EQ(run_seed(seed, false).failure, "") << "again with SYNPROXY_SEED=" << seed;
  }
}

TEST(Simulator, ASeedReplaysAlone) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> alone;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    if (is_ours(seed)) alone.emplace_back(seed, run_seed(seed, false).fingerprint);
  }
  for (auto seen = alone.rbegin(); seen != alone.rend(); ++seen) {
    EXPECT_EQ(run_seed(seen->first, false).fingerprint, seen->second) << "seed " << seen->first;
  }
}

// If lwIP is not built in, the test must say so.
TEST(Simulator, OneEndIsARealStack) {
  if (!lwip_is_there()) {
    GTEST_SKIP() << "built without lwIP (-Dlwip=): both ends are scripted";
  }
  unsigned clients = 0;
  unsigned servers = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Plan plan = make_plan(seed, true);
    clients += plan.client.lwip ? 1 : 0;
    servers += plan.server.lwip ? 1 : 0;
  }
  EXPECT_GT(clients, 10U);
  EXPECT_GT(servers, 10U);
}

}  // namespace
}  // namespace synproxy::test::sim
