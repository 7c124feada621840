// SPDX-License-Identifier: BSD-3-Clause
// The protected addresses and ports: --protect ADDR[/LEN][:PORT[-PORT]], and which of them belong
// to a service with a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "synproxy/flow/key.h"
#include "synproxy/policy/vlan_pairs.h"

namespace synproxy {

// Which of the services with names, from 1 on. 0: none of them.
using NamedServiceId = std::uint8_t;
inline constexpr std::size_t kMostNamedServices = 64;

struct ProtectRule {
  AddressBytes address{};           // host bits zero
  std::uint8_t prefix_length = 32;  // 0-32 for IPv4, 0-128 for IPv6
  bool ipv6 = false;
  std::uint16_t first_port = 0;  // 0-65535 both: the whole address
  std::uint16_t last_port = 65535;
  NamedServiceId service = 0;

  [[nodiscard]] bool whole_address() const { return first_port == 0 && last_port == 65535; }
  friend bool operator==(const ProtectRule&, const ProtectRule&) = default;
};

// Takes "203.0.113.10", "203.0.113.0/24:80-89", "2001:db8::1", "[2001:db8::1]:443",
// "[2001:db8::/64]:443" and "[2001:db8::]/64:443". Refuses set host bits, port 0, a range that runs
// backwards, zones, and IPv4-mapped IPv6 addresses: throws std::invalid_argument with a sentence
// that says what is wrong and what to do. The caller adds flag and value.
[[nodiscard]] ProtectRule parse_protect_rule(std::string_view text);

// Some address and port is protected by both.
[[nodiscard]] bool overlap(const ProtectRule& a, const ProtectRule& b);

// Theory of operation. Two prefixes either nest or are apart, so the distinct prefixes of a family
// form a forest. Each is a node with its sorted port ranges and a link to the next shorter prefix
// around it. The beginnings and ends of prefixes cut the line of all addresses into intervals, and
// each interval names the longest prefix that covers it. A look-up is one binary search for the
// interval of the address, then a walk up the links; if the rules do not nest, that is one step. A
// look-up has no slow path that a client could aim at, and memory is linear in the number of rules.
class ProtectSet {
 public:
  explicit ProtectSet(std::vector<ProtectRule> rules, VlanPairs vlan_pairs = {});

  // `address` points to 4 or 16 bytes in network order; `port` is in host order.
  [[nodiscard]] bool matches(const std::uint8_t* address, bool ipv6, std::uint16_t port) const;
  // Some port of this address is protected. For fragments, which show no ports.
  [[nodiscard]] bool matches_address(const std::uint8_t* address, bool ipv6) const;

  // The service with a name that has this address and port. A rule of a service counts before those
  // of none, whichever is longer. No two services may have it.
  [[nodiscard]] NamedServiceId service_of(const std::uint8_t* address, bool ipv6,
                                          std::uint16_t port) const;
  // How many services with names there are.
  [[nodiscard]] std::size_t named_services() const { return named_services_; }

  [[nodiscard]] std::span<const ProtectRule> rules() const { return rules_; }
  // In which VLANs the protected addresses answer.
  [[nodiscard]] const VlanPairs& vlan_pairs() const { return vlan_pairs_; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffffU;

  struct PortRange {
    std::uint16_t first;
    std::uint16_t last;
    NamedServiceId service;
  };
  struct Node {
    std::uint32_t first_range;  // into ranges_, sorted and apart
    std::uint32_t range_count;
    std::uint32_t parent;  // node of the next shorter prefix around this one, or kNone
  };
  struct Wide {  // an IPv6 address in host order
    std::uint64_t high;
    std::uint64_t low;
    friend bool operator==(const Wide&, const Wide&) = default;
    friend bool operator<(const Wide& a, const Wide& b) {
      return a.high != b.high ? a.high < b.high : a.low < b.low;
    }
  };
  template <typename Address>
  struct Intervals {
    std::vector<Address> starts;       // the first one is address zero; empty without rules
    std::vector<std::uint32_t> nodes;  // of the interval that begins there, or kNone
  };

  template <typename Address>
  void build(Intervals<Address>& intervals, bool ipv6);
  // The range of ports that the address and port lie in; nullptr: none.
  [[nodiscard]] const PortRange* range_of(const std::uint8_t* address, bool ipv6,
                                          std::uint16_t port) const;
  [[nodiscard]] std::uint32_t find(const std::uint8_t* address, bool ipv6) const;

  std::vector<ProtectRule> rules_;
  VlanPairs vlan_pairs_;
  std::vector<Node> nodes_;
  std::vector<PortRange> ranges_;
  Intervals<std::uint32_t> ipv4_;
  Intervals<Wide> ipv6_;
  std::size_t named_services_ = 0;
  std::vector<ProtectSet> named_;  // of the rules of services alone, if there are others too
};

}  // namespace synproxy
