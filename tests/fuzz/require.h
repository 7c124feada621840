// SPDX-License-Identifier: BSD-3-Clause
// The fuzz targets' own assert, which works in every build: NDEBUG does not remove it.
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
