// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/source_lists.h"

#include <array>
#include <string_view>
#include <vector>

namespace synproxy {
namespace {

// IANA's special-purpose registries for IPv4 and IPv6, which RFC 6890 founded: what is not globally
// reachable. Multicast is never a source anyway (junk.h).
constexpr auto kNotGlobal = std::to_array<std::string_view>({
    "0.0.0.0/8",        // this network
    "10.0.0.0/8",       // private use
    "100.64.0.0/10",    // carriers' NAT
    "127.0.0.0/8",      // loopback
    "169.254.0.0/16",   // link-local
    "172.16.0.0/12",    // private use
    "192.0.0.0/24",     // IETF protocols
    "192.0.2.0/24",     // documentation
    "192.168.0.0/16",   // private use
    "198.18.0.0/15",    // benchmarks
    "198.51.100.0/24",  // documentation
    "203.0.113.0/24",   // documentation
    "240.0.0.0/4",      // reserved, and broadcast
    "::/128",           // unspecified
    "::1/128",          // loopback
    "64:ff9b:1::/48",   // local translation
    "100::/64",         // discard
    "2001::/23",        // IETF protocols
    "2001:db8::/32",    // documentation
    "3fff::/20",        // documentation
    "5f00::/16",        // segment routing
    "fc00::/7",         // unique local
    "fe80::/10",        // link-local
});
// Inside of these, but globally reachable, or not settled by the registry.
constexpr auto kGlobal = std::to_array<std::string_view>({
    "192.0.0.9",        // Port Control Protocol anycast
    "192.0.0.10",       // TURN anycast
    "2001::/32",        // Teredo
    "2001:1::1",        // Port Control Protocol anycast
    "2001:1::2",        // TURN anycast
    "2001:1::3",        // DNS-SD anycast
    "2001:3::/32",      // AMT
    "2001:4:112::/48",  // AS112
    "2001:20::/28",     // ORCHIDv2
    "2001:30::/28",     // drone remote identification
});

std::vector<Prefix> parsed(std::span<const std::string_view> texts) {
  std::vector<Prefix> prefixes;
  prefixes.reserve(texts.size());
  for (const std::string_view text : texts) prefixes.push_back(parse_prefix(text));
  return prefixes;
}

std::vector<Prefix> ipv4_mapped() {
  Prefix p{.length = 96, .ipv6 = true};
  p.address[10] = p.address[11] = 0xff;
  return {p};
}

PrefixSet bogons_without(const PrefixSet& allowed) {
  std::vector<Prefix> prefixes = parsed(kNotGlobal);
  for (const Prefix& p : ipv4_mapped()) prefixes.push_back(p);  // parse_prefix() refuses it
  const PrefixSet global(parsed(kGlobal));
  const PrefixSet bogons(prefixes, global);
  return PrefixSet(bogons, allowed);
}

}  // namespace

PrefixSet bogon_sources() { return bogons_without(PrefixSet()); }

SourceSets make_source_sets(std::span<const Prefix> allow, std::span<const Prefix> deny,
                            bool bogons) {
  SourceSets sets;
  sets.allowed = PrefixSet(allow);
  sets.denied = PrefixSet(deny, sets.allowed);
  if (bogons) sets.bogons = bogons_without(sets.allowed);
  sets.allow_count = allow.size();
  sets.deny_count = deny.size();
  return sets;
}

SourceLists make_source_lists(std::span<const Prefix> allow, std::span<const Prefix> deny,
                              bool bogons) {
  return {make_source_sets(allow, deny, bogons), {}, {}};
}

}  // namespace synproxy
