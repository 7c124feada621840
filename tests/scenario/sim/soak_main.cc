// SPDX-License-Identifier: BSD-3-Clause
// soak FIRST LAST: runs these seeds, prints its progress every few seconds ("at SEED"), and stops
// at the first that fails. scripts/soak.sh starts one on each core.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "peer.h"
#include "runner.h"

int main(int argc, char** argv) {
  using namespace synproxy::test::sim;
  using Clock = std::chrono::steady_clock;
  if (argc != 3) {
    std::fprintf(stderr, "usage: soak FIRST LAST\n");
    return 2;
  }
  const std::uint64_t first = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t last = std::strtoull(argv[2], nullptr, 10);
  const bool trace = from_environment("SYNPROXY_TRACE", 0) != 0;
  std::printf("lwip %s\n", lwip_is_there() ? "yes" : "no");
  std::fflush(stdout);
  announce_crashes();
  auto said = Clock::now();
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    std::string failure;
    Outcome outcome;
    try {
      outcome = run_seed(seed, trace);
      failure = outcome.failure;
    } catch (const std::exception& e) {
      failure = e.what();
    }
    if (!failure.empty()) {
      std::printf("failed SYNPROXY_SEED=%llu: %s\n", static_cast<unsigned long long>(seed),
                  failure.c_str());
      return 1;
    }
    if (outcome.chance_hit) {
      std::printf("chance hit %llu\n", static_cast<unsigned long long>(seed));
    }
    if (const auto now = Clock::now(); now - said > std::chrono::seconds(2)) {
      said = now;
      std::printf("at %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(stdout);
    }
  }
  std::printf("done %llu\n", static_cast<unsigned long long>(last));
  return 0;
}
