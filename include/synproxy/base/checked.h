// SPDX-License-Identifier: BSD-3-Clause
// Checks of what can only be a mistake in this program: they end the process in debug and sanitizer
// builds, and cost nothing in a release build.
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
