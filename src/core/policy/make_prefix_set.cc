// SPDX-License-Identifier: BSD-3-Clause
// Makes a set of addresses from prefixes.
#include <algorithm>
#include <limits>
#include <utility>

#include "synproxy/policy/prefix_set.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

using Wide = PrefixSet::Wide;

std::uint32_t after(std::uint32_t last) { return last + 1; }
Wide after(Wide last) { return {last.high + (last.low == ~0ULL ? 1 : 0), last.low + 1}; }

// The last address after `first` that has the same leading bits.
std::uint32_t last_of(std::uint32_t first, unsigned length) {
  return length == 32 ? first : first | ~0U >> length;
}
Wide last_of(Wide first, unsigned length) {
  if (length < 64) return {first.high | ~0ULL >> length, ~0ULL};
  return {first.high, length == 128 ? first.low : first.low | ~0ULL >> (length - 64)};
}

// Both ends belong to it.
template <typename Address>
using Ranges = std::vector<std::pair<Address, Address>>;

template <typename Address>
constexpr Address kZero{};

// The bounds of sorted ranges. The set goes on to the last address if their number is odd.
template <typename Address>
std::vector<Address> bounds_of(Ranges<Address>& ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<Address> bounds;
  bounds.reserve(2 * ranges.size());
  for (auto next = ranges.begin(); next != ranges.end();) {
    auto [first, last] = *next++;
    // What overlaps, and what begins right behind the last address.
    while (next != ranges.end() && (next->first <= last || next->first == after(last))) {
      last = std::max(last, next->second);
      ++next;
    }
    bounds.push_back(first);
    if (after(last) != kZero<Address>) bounds.push_back(after(last));
  }
  return bounds;
}

// The bounds of what is in the first set and not in the second.
template <typename Address>
std::vector<Address> without(const std::vector<Address>& set, const std::vector<Address>& except) {
  std::vector<Address> bounds;
  bool in = false;
  for (std::size_t i = 0, k = 0; i < set.size() || k < except.size();) {
    const Address at =
        k == except.size() || (i < set.size() && set[i] <= except[k]) ? set[i] : except[k];
    while (i < set.size() && set[i] == at) ++i;
    while (k < except.size() && except[k] == at) ++k;
    const bool now_in = i % 2 == 1 && k % 2 == 0;
    if (now_in != in) bounds.push_back(at);
    in = now_in;
  }
  return bounds;
}

// `first_of(block)`: the first address of a block, also of the one behind the last. `block_of`: of
// an address.
template <typename Bound, typename FirstOf, typename BlockOf>
BlockMap blocks_of(const std::vector<Bound>& bounds, FirstOf&& first_of, BlockOf&& block_of) {
  BlockMap map(bounds.size());
  const std::size_t blocks = std::size_t{1} << map.bits();
  for (std::size_t i = 0; i < bounds.size(); i += 2) {
    const std::size_t first = block_of(map, bounds[i]);
    // The block that the range ends in; where it ends with a block, the one behind it.
    const bool ends = i + 1 < bounds.size();
    const std::size_t last = ends ? block_of(map, bounds[i + 1]) : blocks;
    for (std::size_t block = first; block < std::min(last + 1, blocks); ++block) {
      const bool from_its_start = bounds[i] <= first_of(map, block);
      const bool to_its_end = block < last;
      if (block == last && bounds[i + 1] == first_of(map, block)) break;
      map.set(block, from_its_start && to_its_end ? BlockMap::Holds::kAll : BlockMap::Holds::kPart);
    }
  }
  return map;
}

std::vector<std::uint32_t> bounds4_of(std::span<const Prefix> prefixes) {
  Ranges<std::uint32_t> ranges;
  for (const Prefix& p : prefixes) {
    if (p.ipv6) continue;
    const auto first = load_be<std::uint32_t>(p.address.data());
    ranges.emplace_back(first, last_of(first, p.length));
  }
  return bounds_of(ranges);
}

std::vector<Wide> bounds6_of(std::span<const Prefix> prefixes) {
  Ranges<Wide> ranges;
  for (const Prefix& p : prefixes) {
    if (!p.ipv6) continue;
    const Wide first{load_be<std::uint64_t>(p.address.data()),
                     load_be<std::uint64_t>(p.address.data() + 8)};
    ranges.emplace_back(first, last_of(first, p.length));
  }
  return bounds_of(ranges);
}

}  // namespace

PrefixSet::PrefixSet(const std::vector<std::uint32_t>& bounds4, const std::vector<Wide>& bounds6) {
  if (bounds4.empty() && bounds6.empty()) return;
  std::vector<std::int32_t> in_order;
  in_order.reserve(bounds4.size());
  for (const std::uint32_t b : bounds4) in_order.push_back(as_signed(b));
  ipv4_ = BoundTree<std::int32_t>(in_order);
  blocks4_ = blocks_of(
      bounds4,
      [](const BlockMap& map, std::size_t block) {
        return static_cast<std::uint32_t>(block << (32 - map.bits()));
      },
      [](const BlockMap& map, std::uint32_t bound) { return bound >> (32 - map.bits()); });
  std::vector<std::uint64_t> upper;
  upper.reserve(bounds6.size());
  lower_.reserve(bounds6.size());
  for (const Wide& b : bounds6) {
    upper.push_back(b.high);
    lower_.push_back(b.low);
  }
  ipv6_ = BoundTree<std::uint64_t>(upper);
  // Of 2000::/3 alone: what is below it begins with its first block, what is above ends behind it.
  constexpr std::uint64_t kFirst = 1ULL << 61;
  std::vector<Wide> inside = without(bounds6, {{0, 0}, {kFirst, 0}, {kFirst << 1, 0}});
  blocks6_ = blocks_of(
      inside,
      [](const BlockMap& map, std::size_t block) {
        return Wide{kFirst + (static_cast<std::uint64_t>(block) << (61 - map.bits())), 0};
      },
      [](const BlockMap& map, const Wide& bound) {
        return static_cast<std::size_t>((bound.high - kFirst) >> (61 - map.bits()));
      });
}

PrefixSet::PrefixSet(std::span<const Prefix> prefixes)
    : PrefixSet(bounds4_of(prefixes), bounds6_of(prefixes)) {}

PrefixSet::PrefixSet(std::span<const Prefix> prefixes, const PrefixSet& except)
    : PrefixSet(without(bounds4_of(prefixes), except.bounds_ipv4()),
                without(bounds6_of(prefixes), except.bounds_ipv6())) {}

PrefixSet::PrefixSet(const PrefixSet& set, const PrefixSet& except)
    : PrefixSet(without(set.bounds_ipv4(), except.bounds_ipv4()),
                without(set.bounds_ipv6(), except.bounds_ipv6())) {}

std::vector<std::uint32_t> PrefixSet::bounds_ipv4() const {
  std::vector<std::uint32_t> bounds;
  bounds.reserve(ipv4_.size());
  for (std::size_t i = 0; i < ipv4_.size(); ++i) {
    bounds.push_back(static_cast<std::uint32_t>(ipv4_[i]) ^ 0x80000000U);
  }
  return bounds;
}

std::vector<PrefixSet::Wide> PrefixSet::bounds_ipv6() const {
  std::vector<Wide> bounds;
  bounds.reserve(lower_.size());
  for (std::size_t i = 0; i < lower_.size(); ++i) bounds.push_back({ipv6_[i], lower_[i]});
  return bounds;
}

}  // namespace synproxy
