// SPDX-License-Identifier: BSD-3-Clause
// How often a comparison at random is repeated.
#pragma once

namespace synproxy::test {

// GCC has a macro, Clang has a feature.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYNPROXY_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SYNPROXY_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#undef SYNPROXY_SANITIZED

// Under the sanitizers a round takes ten times as long, and a tenth of them has to do: what they
// look for is seen in each round. The plain build runs all.
template <typename Number>
constexpr Number rounds(Number all) {
  return kSanitized ? all / 10 : all;
}

// The same for millions of tries of which only their number makes a test of chance.
template <typename Number>
constexpr Number tries(Number all) {
  return kSanitized ? all / 128 : all;
}

}  // namespace synproxy::test
