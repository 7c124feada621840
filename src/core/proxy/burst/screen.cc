// SPDX-License-Identifier: BSD-3-Clause
#include "burst/screen.h"

#include <array>
#include <bit>

#include "burst/rooms.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/wire/ip_header.h"

namespace synproxy {
namespace {

using Tally = NamedServices::Tally;

template <typename Function>
void for_each_bit(std::uint32_t bits, Function&& function) {
  for (; bits != 0; bits &= bits - 1) function(static_cast<std::size_t>(std::countr_zero(bits)));
}

// The addresses of one family in a burst, with their places.
template <typename Address>
struct Sources {
  std::array<Address, kMaxBurst> addresses;
  std::array<std::uint8_t, kMaxBurst> places;
  std::size_t count = 0;

  void add(std::size_t place, Address address) {
    addresses[count] = address;
    places[count++] = static_cast<std::uint8_t>(place);
  }
  // From bits by order here to bits by place.
  [[nodiscard]] std::uint32_t by_place(std::uint32_t bits) const {
    std::uint32_t out = 0;
    for_each_bit(bits, [&](std::size_t i) { out |= 1U << places[i]; });
    return out;
  }
  // Those at places whose bit is set.
  [[nodiscard]] Sources at(std::uint32_t bits) const {
    Sources some;
    for (std::size_t i = 0; i < count; ++i) {
      if ((bits >> places[i] & 1U) != 0) some.add(places[i], addresses[i]);
    }
    return some;
  }
  [[nodiscard]] std::span<const Address> all() const { return {addresses.data(), count}; }
};

std::uint32_t places_in(const PrefixSet& set, const Sources<std::uint32_t>& ipv4,
                        const Sources<PrefixSet::Wide>& ipv6) {
  std::uint32_t found = 0;
  if (ipv4.count != 0) found = ipv4.by_place(set.contains_ipv4(ipv4.all()));
  if (ipv6.count != 0) found |= ipv6.by_place(set.contains_ipv6(ipv6.all()));
  return found;
}

class Look {
 public:
  explicit Look(std::span<const Packet> burst, std::uint8_t min_ttl) {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      const IpHeader ip = find_ip_header(burst[i].data, burst[i].length);
      headers_[i] = ip;
      if (ip.at == nullptr) continue;
      if (!ip.ipv6) [[likely]] {
        ipv4_.add(i, load_be<std::uint32_t>(ip.source()));
      } else {
        const std::uint8_t* const from = ip.source();
        ipv6_.add(i, {load_be<std::uint64_t>(from), load_be<std::uint64_t>(from + 8)});
      }
      low_ttl_ |= std::uint32_t{ip.ttl() < min_ttl} << i;
    }
  }

  [[nodiscard]] std::uint32_t from(const PrefixSet& set) const {
    return set.empty() ? 0 : places_in(set, ipv4_, ipv6_);
  }
  // Of some packets alone.
  [[nodiscard]] std::uint32_t from(const PrefixSet& set, std::uint32_t packets) const {
    return set.empty() ? 0 : places_in(set, ipv4_.at(packets), ipv6_.at(packets));
  }
  [[nodiscard]] std::uint32_t low_ttl() const { return low_ttl_; }
  [[nodiscard]] const IpHeader& header(std::size_t i) const { return headers_[i]; }

 private:
  std::array<IpHeader, kMaxBurst> headers_;
  Sources<std::uint32_t> ipv4_;
  Sources<PrefixSet::Wide> ipv6_;
  std::uint32_t low_ttl_ = 0;
};

// Type of an ICMP message right behind its IP header. 256: it is none.
unsigned icmp_type(const IpHeader& ip) {
  constexpr unsigned kNone = 256;
  const std::uint8_t protocol = ip.at[ip.ipv6 ? ipv6_at::kNextHeader : ipv4_at::kProtocol];
  if (protocol != (ip.ipv6 ? kProtocolIcmpv6 : kProtocolIcmp)) return kNone;
  const std::size_t header =
      ip.ipv6 ? kIpv6Header : (ip.at[ipv4_at::kVersionAndLength] & 0xfU) * std::size_t{4};
  return header < ip_header_size(ip.ipv6) || ip.length <= header ? kNone : ip.at[header];
}

// RFC 4861 section 7.1: a hop limit of 255 shows that no router has forwarded it.
bool is_neighbour_discovery(const IpHeader& ip) {
  if (!ip.ipv6 || ip.ttl() != 255) return false;
  const unsigned type = icmp_type(ip);
  return type >= 133 && type <= 137;
}

bool is_icmp_error(const IpHeader& ip) {
  const unsigned type = icmp_type(ip);
  return ip.ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

// Whether --min-ttl is about the packet. A fragment has no port that would say of which service it
// is; for it the address counts.
bool has_ttl_rule(const Rooms& rooms, const Packet& p) {
  Segment g;
  read_segment(p, g);
  if (g.result == ParseResult::kTcp) {
    return rooms.protect.matches(g.destination(), g.ipv6, g.destination_port());
  }
  return g.result == ParseResult::kFragment &&
         rooms.protect.matches_address(g.destination(), g.ipv6);
}

struct Rule {
  MonitoredRule name;
  Reason drops;
  Reason counts;  // while it is monitored
};
constexpr Rule kDeny{kMonitorDeny, Reason::denied, Reason::deny_monitored};
constexpr Rule kBogons{kMonitorBogons, Reason::bogon_source, Reason::bogons_monitored};
constexpr Rule kMinTtl{kMonitorMinTtl, Reason::ttl_low, Reason::min_ttl_monitored};

// What the rule makes of `found`, to which it applies. Returns what it drops.
std::uint32_t apply(Rooms& rooms, std::span<Packet> burst, const Tally& tally, const Rule& rule,
                    std::uint32_t found, bool early) {
  std::uint32_t dropped = 0;
  for_each_bit(found, [&](std::size_t i) {
    const NamedServiceId service = tally.service_of(i);
    if (!rooms.services.tuning(service).monitors(rule.name)) {
      rooms.counters.count(rule.drops);
      burst[i].decide(Verdict::kDrop, rule.drops);
      dropped |= 1U << i;
    } else if (!early) {
      rooms.services.count(service, rule.counts);
    }
  });
  return dropped;
}

// Those of `bits` for which `keeps` is true.
template <typename Predicate>
std::uint32_t filter(std::uint32_t bits, Predicate&& keeps) {
  std::uint32_t out = bits;
  for_each_bit(bits, [&](std::size_t i) { out &= ~(std::uint32_t{!keeps(i)} << i); });
  return out;
}

// Those of `packets` whose source is in that list of their service.
std::uint32_t listed(const Look& look, const SourceLists& lists, const Tally& tally,
                     std::uint32_t packets, PrefixSet SourceSets::*list) {
  if (!lists.differ()) [[likely]]
    return look.from(lists.*list) & packets;
  std::uint32_t found = 0;
  while (packets != 0) {
    const auto place = [&](std::size_t i) { return lists.place[tally.service_of(i)]; };
    const std::uint8_t first = place(static_cast<std::size_t>(std::countr_zero(packets)));
    const std::uint32_t alike = filter(packets, [&](std::size_t i) { return place(i) == first; });
    found |= look.from(lists.at(first).*list, alike);
    packets &= ~alike;
  }
  return found;
}

}  // namespace

std::uint32_t screen_burst(Rooms& rooms, std::span<Packet> burst, const Tally& tally, bool early) {
  const Screen& screen = rooms.screen;
  const Look look(burst, screen.min_ttl());
  const auto to_protected = [&](std::size_t i) {
    const IpHeader& ip = look.header(i);
    return rooms.protect.matches_address(ip.destination(), ip.ipv6);
  };
  std::uint32_t dropped = 0;
  if (const SourceLists* lists = screen.lists(); lists != nullptr) {
    const auto all = static_cast<std::uint32_t>((std::uint64_t{1} << burst.size()) - 1);
    const std::uint32_t denied = filter(
        listed(look, *lists, tally, all, &SourceSets::denied),
        [&](std::size_t i) { return to_protected(i) && !is_neighbour_discovery(look.header(i)); });
    dropped |= apply(rooms, burst, tally, kDeny, denied, early);
    const std::uint32_t bogons = filter(
        listed(look, *lists, tally, all & ~dropped, &SourceSets::bogons), [&](std::size_t i) {
          const IpHeader& ip = look.header(i);
          return to_protected(i) && !is_neighbour_discovery(ip) && !is_icmp_error(ip);
        });
    dropped |= apply(rooms, burst, tally, kBogons, bogons, early);
  }
  const std::uint32_t low = filter(look.low_ttl() & ~dropped, [&](std::size_t i) {
    return has_ttl_rule(rooms, burst[i]) &&
           look.header(i).ttl() < rooms.services.tuning(tally.service_of(i)).min_ttl;
  });
  dropped |= apply(rooms, burst, tally, kMinTtl, low, early);
  return dropped;
}

bool screen_whole(Rooms& rooms, Packet& whole, const Tally& tally) {
  if (!rooms.screen.on() || !rooms.services.differ()) return false;
  const NamedServiceId service = tally.service_of(0);
  const SourceLists* const lists = rooms.screen.lists();
  const bool own_lists = lists != nullptr && lists->place[service] != 0;
  const bool own_ttl = rooms.services.tuning(service).min_ttl != rooms.services.tuning(0).min_ttl;
  return (own_lists || own_ttl) && screen_burst(rooms, {&whole, 1}, tally) != 0;
}

}  // namespace synproxy
