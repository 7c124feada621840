// SPDX-License-Identifier: BSD-3-Clause
// Runs seeds, for the tests and for scripts/soak.sh.
#pragma once

#include <cstdint>
#include <string>

namespace synproxy::test::sim {

struct Outcome {
  std::string failure;  // empty: fine
  std::uint64_t fingerprint = 0;
  bool limited = false;     // a limit has refused something
  bool told = false;        // an ICMP error was translated
  bool offloaded = false;   // the kernel has carried segments
  bool chance_hit = false;  // a cookie was hit by chance: nothing after that counts
};
[[nodiscard]] Outcome run_seed(std::uint64_t seed, bool trace);

// From now on, if a seed crashes the program (a signal, an assertion of lwIP), it prints its
// number.
void announce_crashes();

// Number in the environment variable `name`, or `otherwise`.
[[nodiscard]] std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

}  // namespace synproxy::test::sim
