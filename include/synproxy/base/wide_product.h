// SPDX-License-Identifier: BSD-3-Clause
// Products of 64-bit words with all of their 128 bits, for hashes. The xor of the halves evens out
// the bits that a product leaves uneven.
#pragma once

#include <cstdint>

namespace synproxy {

__extension__ using Uint128 = unsigned __int128;

[[nodiscard]] constexpr Uint128 wide_product(std::uint64_t a, std::uint64_t b) {
  return static_cast<Uint128>(a) * b;
}
[[nodiscard]] constexpr std::uint64_t low_half(Uint128 v) { return static_cast<std::uint64_t>(v); }
[[nodiscard]] constexpr std::uint64_t high_half(Uint128 v) {
  return static_cast<std::uint64_t>(v >> 64);
}
[[nodiscard]] constexpr std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  const Uint128 product = wide_product(a, b);
  return low_half(product) ^ high_half(product);
}

}  // namespace synproxy
