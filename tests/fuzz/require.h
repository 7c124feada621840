// SPDX-License-Identifier: BSD-3-Clause
// What a fuzz target demands, in every build: its own assert, which NDEBUG does not take away.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace synproxy::fuzz {

inline void require(bool holds, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (holds) return;
  (void)std::fprintf(stderr, "%s:%d: does not hold\n", file, line);
  std::abort();
}

}  // namespace synproxy::fuzz
