// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/protect.h"

#include <algorithm>
#include <array>
#include <utility>

#include "synproxy/wire/bytes.h"

namespace synproxy {

namespace {

template <typename Address>
[[nodiscard]] Address load_address(const std::uint8_t* p) {
  if constexpr (sizeof(Address) == 4) {
    return load_be<std::uint32_t>(p);
  } else {
    return {load_be<std::uint64_t>(p), load_be<std::uint64_t>(p + 8)};
  }
}

// The address with all bits after the first `length` set.
template <typename Address>
[[nodiscard]] Address last_of(Address first, unsigned length) {
  if constexpr (sizeof(Address) == 4) {
    return length == 32 ? first : first | 0xffffffffU >> length;
  } else {
    if (length < 64) {
      first.high |= ~0ULL >> length;
      first.low = ~0ULL;
    } else if (length < 128) {
      first.low |= ~0ULL >> (length - 64);
    }
    return first;
  }
}

// The next address; zero after the last one.
[[nodiscard]] std::uint32_t after(std::uint32_t address) { return address + 1; }
template <typename Wide>
[[nodiscard]] Wide after(Wide address) {
  address.low += 1;
  address.high += address.low == 0 ? 1 : 0;
  return address;
}

// Index of the last element that is <= `value`; the first element is <= every value.
template <typename T>
[[nodiscard]] std::size_t last_not_above(const std::vector<T>& sorted, const T& value) {
  std::size_t base = 0;
  for (std::size_t count = sorted.size(); count > 1;) {
    const std::size_t half = count / 2;
    base += value < sorted[base + half] ? 0 : half;  // no branch to mispredict
    count -= half;
  }
  return base;
}

}  // namespace

bool overlap(const ProtectRule& a, const ProtectRule& b) {
  if (a.ipv6 != b.ipv6 || a.last_port < b.first_port || b.last_port < a.first_port) return false;
  // Two prefixes nest or are apart.
  const unsigned length = std::min(a.prefix_length, b.prefix_length);
  const std::size_t bytes = length / 8;
  const auto rest = static_cast<std::uint8_t>(0xff00U >> length % 8);
  return std::equal(a.address.begin(), a.address.begin() + static_cast<std::ptrdiff_t>(bytes),
                    b.address.begin()) &&
         (rest == 0 || ((a.address[bytes] ^ b.address[bytes]) & rest) == 0);
}

ProtectSet::ProtectSet(std::vector<ProtectRule> rules, VlanPairs vlan_pairs)
    : rules_(std::move(rules)), vlan_pairs_(std::move(vlan_pairs)) {
  build(ipv4_, false);
  build(ipv6_, true);
  std::vector<ProtectRule> named;
  for (const ProtectRule& rule : rules_) {
    if (rule.service != 0) named.push_back(rule);
    named_services_ = std::max<std::size_t>(named_services_, rule.service);
  }
  // Of rules of services alone there is no need for another set.
  if (!named.empty() && named.size() != rules_.size()) named_.emplace_back(std::move(named));
}

template <typename Address>
void ProtectSet::build(Intervals<Address>& intervals, bool ipv6) {
  struct Prefix {
    Address first;
    Address last;
    unsigned length;
    PortRange ports;
  };
  std::vector<Prefix> prefixes;
  for (const ProtectRule& rule : rules_) {
    if (rule.ipv6 == ipv6) {
      const auto first = load_address<Address>(rule.address.data());
      prefixes.push_back({first,
                          last_of(first, rule.prefix_length),
                          rule.prefix_length,
                          {rule.first_port, rule.last_port, rule.service}});
    }
  }
  if (prefixes.empty()) {
    return;
  }
  // An enclosing prefix comes before what it encloses; the ports of one prefix are in order.
  std::sort(prefixes.begin(), prefixes.end(), [](const Prefix& a, const Prefix& b) {
    return a.first != b.first     ? a.first < b.first
           : a.length != b.length ? a.length < b.length
                                  : a.ports.first < b.ports.first;
  });

  const auto begin_interval = [&](Address start, std::uint32_t node) {
    if (!intervals.starts.empty() && intervals.starts.back() == start) {
      intervals.nodes.back() = node;  // the outer one ends here too, or the inner one begins
    } else {
      intervals.starts.push_back(start);
      intervals.nodes.push_back(node);
    }
  };
  struct Open {
    Address last;
    std::uint32_t node;
  };
  std::vector<Open> open;  // prefixes around the current address, the innermost last
  const auto close_innermost = [&] {
    const Address next = after(open.back().last);
    open.pop_back();
    if (next != Address{}) {
      begin_interval(next, open.empty() ? kNone : open.back().node);
    }
  };

  begin_interval(Address{}, kNone);
  for (std::size_t i = 0; i < prefixes.size();) {
    const Prefix& prefix = prefixes[i];
    while (!open.empty() && open.back().last < prefix.first) {
      close_innermost();
    }
    const auto node = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back(
        {static_cast<std::uint32_t>(ranges_.size()), 0, open.empty() ? kNone : open.back().node});
    for (; i < prefixes.size() && prefixes[i].first == prefix.first &&
           prefixes[i].length == prefix.length;
         ++i) {
      const PortRange ports = prefixes[i].ports;
      if (nodes_.back().range_count > 0 && ports.first <= ranges_.back().last) {
        ranges_.back().last = std::max(ranges_.back().last, ports.last);
      } else {
        ranges_.push_back(ports);
        ++nodes_.back().range_count;
      }
    }
    begin_interval(prefix.first, node);
    open.push_back({prefix.last, node});
  }
  while (!open.empty()) {
    close_innermost();
  }
}

std::uint32_t ProtectSet::find(const std::uint8_t* address, bool ipv6) const {
  if (ipv6) {
    return ipv6_.starts.empty()
               ? kNone
               : ipv6_.nodes[last_not_above(ipv6_.starts, load_address<Wide>(address))];
  }
  return ipv4_.starts.empty()
             ? kNone
             : ipv4_.nodes[last_not_above(ipv4_.starts, load_address<std::uint32_t>(address))];
}

const ProtectSet::PortRange* ProtectSet::range_of(const std::uint8_t* address, bool ipv6,
                                                  std::uint16_t port) const {
  for (std::uint32_t i = find(address, ipv6); i != kNone; i = nodes_[i].parent) {
    const Node& node = nodes_[i];
    const PortRange* range = &ranges_[node.first_range];
    std::uint32_t count = node.range_count;  // at least 1
    for (; count > 1; count -= count / 2) {
      range += range[count / 2].first <= port ? count / 2 : 0;
    }
    if (range->first <= port && port <= range->last) {
      return range;
    }
  }
  return nullptr;
}

bool ProtectSet::matches(const std::uint8_t* address, bool ipv6, std::uint16_t port) const {
  return range_of(address, ipv6, port) != nullptr;
}

NamedServiceId ProtectSet::service_of(const std::uint8_t* address, bool ipv6,
                                      std::uint16_t port) const {
  const ProtectSet& named = named_.empty() ? *this : named_.front();
  const PortRange* const range = named.range_of(address, ipv6, port);
  return range != nullptr ? range->service : NamedServiceId{0};
}

bool ProtectSet::matches_address(const std::uint8_t* address, bool ipv6) const {
  return find(address, ipv6) != kNone;
}

}  // namespace synproxy
