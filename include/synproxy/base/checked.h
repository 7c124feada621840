// SPDX-License-Identifier: BSD-3-Clause
// Checks that fail only if this program has a bug. In debug and sanitizer builds a failed check
// ends the process. In a release build checks cost nothing.
#pragma once

namespace synproxy {

#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_UNDEFINED__)
inline constexpr bool kChecked = true;
#else
inline constexpr bool kChecked = false;
#endif

constexpr void check(bool holds) {
  if constexpr (kChecked) {
    if (!holds) __builtin_trap();
  }
}

}  // namespace synproxy
