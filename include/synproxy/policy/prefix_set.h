// SPDX-License-Identifier: BSD-3-Clause
// A set of addresses of both families, made from prefixes: a list of sources.
//
// Theory of operation. Prefixes are ranges of addresses. Sorted and joined, they leave a row of
// bounds at which the set begins and ends in turn. So an address is in the set if the number of
// bounds at or below it is odd, and a tree counts them (bound_tree.h). But first a table is asked
// (block_map.h), which answers at once unless some bound is near. Nothing depends on how long the
// prefixes are, how they nest, or whether they are single addresses. The tree of IPv6 has the upper
// halves of the bounds. The lower ones are looked at only for an address whose upper half is a
// bound.
//
// A million IPv4 prefixes take 12.7 MB, a million IPv6 prefixes 38.5 MB.
//
// A set never changes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "synproxy/flow/key.h"
#include "synproxy/policy/block_map.h"
#include "synproxy/policy/bound_tree.h"

namespace synproxy {

struct Prefix {
  AddressBytes address{};  // host bits zero
  std::uint8_t length = 0;
  bool ipv6 = false;

  friend bool operator==(const Prefix&, const Prefix&) = default;
};

// Takes "198.51.100.7", "198.51.100.0/24", "2001:db8::1" and "2001:db8::/32". Refuses set host
// bits, zones and IPv4-mapped IPv6 addresses: throws std::invalid_argument with a sentence that
// says what is wrong and what to do.
[[nodiscard]] Prefix parse_prefix(std::string_view text);

// `address`: 4 or 16 bytes in network order, as `ipv6` says.
[[nodiscard]] inline bool covers(const Prefix& prefix, const std::uint8_t* address, bool ipv6) {
  if (prefix.ipv6 != ipv6) return false;
  const std::size_t bytes = prefix.length / 8;
  const unsigned rest = prefix.length % 8;
  return std::equal(address, address + bytes, prefix.address.begin()) &&
         (rest == 0 || ((address[bytes] ^ prefix.address[bytes]) >> (8 - rest)) == 0);
}

class PrefixSet {
 public:
  PrefixSet() = default;
  // All of these throw std::bad_alloc.
  explicit PrefixSet(std::span<const Prefix> prefixes);
  // What is in the first and not in `except`.
  PrefixSet(std::span<const Prefix> prefixes, const PrefixSet& except);
  PrefixSet(const PrefixSet& set, const PrefixSet& except);

  [[nodiscard]] bool empty() const { return ipv4_.empty() && ipv6_.empty(); }
  [[nodiscard]] std::size_t bytes() const {
    return blocks4_.bytes() + ipv4_.bytes() + blocks6_.bytes() + ipv6_.bytes() + lower_.size() * 8;
  }
  // `address`: 4 or 16 bytes in network order.
  [[nodiscard]] bool contains(const std::uint8_t* address, bool ipv6) const;

  // The same for a burst of up to 32: bit i of the result speaks of the i-th address.
  [[nodiscard]] std::uint32_t contains_ipv4(std::span<const std::uint32_t> addresses) const;
  struct Wide {  // an IPv6 address, host order
    std::uint64_t high;
    std::uint64_t low;
    friend bool operator==(const Wide&, const Wide&) = default;
    friend bool operator<(const Wide& a, const Wide& b) {
      return a.high != b.high ? a.high < b.high : a.low < b.low;
    }
    friend bool operator<=(const Wide& a, const Wide& b) { return !(b < a); }
  };
  [[nodiscard]] std::uint32_t contains_ipv6(std::span<const Wide> addresses) const;

  // Two sets are equal if they hold the same addresses.
  friend bool operator==(const PrefixSet&, const PrefixSet&) = default;

 private:
  // Every CPU compares signed numbers of 32 bits side by side.
  [[nodiscard]] static constexpr std::int32_t as_signed(std::uint32_t address) {
    return static_cast<std::int32_t>(address ^ 0x80000000U);
  }
  PrefixSet(const std::vector<std::uint32_t>& bounds4, const std::vector<Wide>& bounds6);
  [[nodiscard]] std::vector<std::uint32_t> bounds_ipv4() const;
  [[nodiscard]] std::vector<Wide> bounds_ipv6() const;

  // Addresses of IPv6 are spread over 2000::/3. All others are left to the tree.
  [[nodiscard]] static constexpr bool is_global_unicast(std::uint64_t high) {
    return high >> 61 == 1;
  }
  [[nodiscard]] static constexpr std::size_t block_of(std::uint64_t high, unsigned bits) {
    return (high << 3) >> (64 - bits);
  }
  [[nodiscard]] std::uint32_t count_ipv4(std::span<const std::uint32_t> addresses,
                                         std::uint32_t which) const;
  [[nodiscard]] std::uint32_t count_ipv6(std::span<const Wide> addresses,
                                         std::uint32_t which) const;

  BlockMap blocks4_;
  BoundTree<std::int32_t> ipv4_;
  BlockMap blocks6_;
  BoundTree<std::uint64_t> ipv6_;     // upper halves
  std::vector<std::uint64_t> lower_;  // of the same bounds
};

}  // namespace synproxy
