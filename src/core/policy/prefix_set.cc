// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/prefix_set.h"

#include <algorithm>
#include <array>
#include <bit>

#include "synproxy/base/packet.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

template <typename Function>
void for_each_bit(std::uint32_t bits, Function&& function) {
  for (; bits != 0; bits &= bits - 1) function(static_cast<std::size_t>(std::countr_zero(bits)));
}

// What a look into the table says of a burst.
struct Seen {
  std::uint32_t in = 0;
  std::uint32_t near = 0;  // a bound: the tree decides

  void note(std::size_t i, BlockMap::Holds holds) {
    in |= std::uint32_t{holds == BlockMap::Holds::kAll} << i;
    near |= std::uint32_t{holds == BlockMap::Holds::kPart} << i;
  }
};

}  // namespace

std::uint32_t PrefixSet::count_ipv4(std::span<const std::uint32_t> addresses,
                                    std::uint32_t which) const {
  std::array<std::int32_t, kMaxBurst> sought;
  std::array<std::uint32_t, kMaxBurst> counts;
  std::size_t n = 0;
  for_each_bit(which, [&](std::size_t i) { sought[n++] = as_signed(addresses[i]); });
  ipv4_.count({sought.data(), n}, counts.data());
  std::uint32_t in = 0;
  n = 0;
  for_each_bit(which, [&](std::size_t i) { in |= (counts[n++] & 1U) << i; });
  return in;
}

std::uint32_t PrefixSet::contains_ipv4(std::span<const std::uint32_t> addresses) const {
  if (ipv4_.empty()) return 0;
  const auto burst = addresses.first(std::min(addresses.size(), kMaxBurst));
  const unsigned beside = 32 - blocks4_.bits();
  for (const std::uint32_t a : burst) blocks4_.prefetch(a >> beside);
  Seen seen;
  for (std::size_t i = 0; i < burst.size(); ++i) seen.note(i, blocks4_[burst[i] >> beside]);
  return seen.near == 0 ? seen.in : seen.in | count_ipv4(burst, seen.near);
}

std::uint32_t PrefixSet::count_ipv6(std::span<const Wide> addresses, std::uint32_t which) const {
  std::array<std::uint64_t, kMaxBurst> sought;
  std::array<std::uint32_t, kMaxBurst> counts;
  std::size_t n = 0;
  for_each_bit(which, [&](std::size_t i) { sought[n++] = addresses[i].high; });
  ipv6_.count({sought.data(), n}, counts.data());
  std::uint32_t in = 0;
  n = 0;
  for_each_bit(which, [&](std::size_t i) {
    const Wide& address = addresses[i];
    std::uint32_t count = counts[n++];
    if (count != 0 && ipv6_[count - 1] == address.high) [[unlikely]] {
      // Of the bounds with this upper half, those with a larger lower half do not count.
      std::uint32_t first = 0;
      for (std::uint32_t span = count; span != 0;) {
        const std::uint32_t half = span / 2;
        const std::uint32_t at = first + half;
        const bool below = ipv6_[at] != address.high || lower_[at] <= address.low;
        first = below ? at + 1 : first;
        span = below ? span - half - 1 : half;
      }
      count = first;
    }
    in |= (count & 1U) << i;
  });
  return in;
}

std::uint32_t PrefixSet::contains_ipv6(std::span<const Wide> addresses) const {
  if (ipv6_.empty()) return 0;
  const auto burst = addresses.first(std::min(addresses.size(), kMaxBurst));
  const unsigned bits = blocks6_.bits();
  for (const Wide& a : burst) blocks6_.prefetch(block_of(a.high, bits));
  Seen seen;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const auto holds = blocks6_[block_of(burst[i].high, bits)];
    seen.note(i, is_global_unicast(burst[i].high) ? holds : BlockMap::Holds::kPart);
  }
  return seen.near == 0 ? seen.in : seen.in | count_ipv6(burst, seen.near);
}

bool PrefixSet::contains(const std::uint8_t* address, bool ipv6) const {
  if (!ipv6) {
    const auto one = load_be<std::uint32_t>(address);
    return contains_ipv4({&one, 1}) != 0;
  }
  const Wide one{load_be<std::uint64_t>(address), load_be<std::uint64_t>(address + 8)};
  return contains_ipv6({&one, 1}) != 0;
}

}  // namespace synproxy
