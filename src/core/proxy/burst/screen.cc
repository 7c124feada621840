// SPDX-License-Identifier: BSD-3-Clause
#include "burst/screen.h"

#include <array>
#include <bit>

#include "burst/rooms.h"
#include "synproxy/wire/ip_header.h"

namespace synproxy {
namespace {

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
};

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
    std::uint32_t found = 0;
    if (ipv4_.count != 0) {
      found = ipv4_.by_place(set.contains_ipv4({ipv4_.addresses.data(), ipv4_.count}));
    }
    if (ipv6_.count != 0) {
      found |= ipv6_.by_place(set.contains_ipv6({ipv6_.addresses.data(), ipv6_.count}));
    }
    return found;
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

// Whether --min-ttl forbids the packet, whose TTL is below that of some service. A fragment has no
// port that would say of which; for it that of all counts.
bool is_forbidden(const Rooms& rooms, const Packet& p, std::uint8_t ttl) {
  Segment g;
  parse_frame(p.data, p.length, g);
  const bool whole = g.result == ParseResult::kTcp;
  if (!whole && g.result != ParseResult::kFragment) return false;
  if (whole && !rooms.protect.matches(g.destination(), g.ipv6, g.destination_port())) return false;
  if (!whole && !rooms.protect.matches_address(g.destination(), g.ipv6)) return false;
  if (!rooms.services.differ()) return true;
  const NamedServiceId of =
      whole ? rooms.protect.service_of(g.destination(), g.ipv6, g.destination_port())
            : NamedServiceId{0};
  return ttl < rooms.services.tuning(of).min_ttl;
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
std::uint32_t apply(Rooms& rooms, std::span<Packet> burst, const Rule& rule, std::uint32_t found,
                    bool early) {
  if (found == 0) return 0;
  const bool monitored = (rooms.screen.monitored() & rule.name) != 0;
  if (monitored && early) return 0;
  rooms.counters.count(monitored ? rule.counts : rule.drops,
                       static_cast<std::uint64_t>(std::popcount(found)));
  if (monitored) return 0;
  for_each_bit(found, [&](std::size_t i) { burst[i].decide(Verdict::kDrop, rule.drops); });
  return found;
}

// Those of `bits` for which `keeps` is true.
template <typename Predicate>
std::uint32_t filter(std::uint32_t bits, Predicate&& keeps) {
  std::uint32_t out = bits;
  for_each_bit(bits, [&](std::size_t i) { out &= ~(std::uint32_t{!keeps(i)} << i); });
  return out;
}

}  // namespace

std::uint32_t screen_burst(Rooms& rooms, std::span<Packet> burst, bool early) {
  const Screen& screen = rooms.screen;
  const Look look(burst, screen.min_ttl());
  const auto to_protected = [&](std::size_t i) {
    const IpHeader& ip = look.header(i);
    return rooms.protect.matches_address(ip.destination(), ip.ipv6);
  };
  std::uint32_t dropped = 0;
  if (const SourceLists* lists = screen.lists(); lists != nullptr) {
    const std::uint32_t denied = filter(look.from(lists->denied), [&](std::size_t i) {
      return to_protected(i) && !is_neighbour_discovery(look.header(i));
    });
    dropped |= apply(rooms, burst, kDeny, denied, early);
    const std::uint32_t bogons = filter(look.from(lists->bogons) & ~dropped, [&](std::size_t i) {
      const IpHeader& ip = look.header(i);
      return to_protected(i) && !is_neighbour_discovery(ip) && !is_icmp_error(ip);
    });
    dropped |= apply(rooms, burst, kBogons, bogons, early);
  }
  const std::uint32_t low = filter(look.low_ttl() & ~dropped, [&](std::size_t i) {
    return is_forbidden(rooms, burst[i], look.header(i).ttl());
  });
  dropped |= apply(rooms, burst, kMinTtl, low, early);
  return dropped;
}

}  // namespace synproxy
