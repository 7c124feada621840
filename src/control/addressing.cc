// SPDX-License-Identifier: BSD-3-Clause
#include "control/addressing.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

namespace synproxy::control {
namespace {

using Attribute = NetMessage::Attribute;

constexpr std::uint32_t kForever = std::numeric_limits<std::uint32_t>::max();
// Routes that wait for others: through a gateway that is itself behind a gateway.
constexpr int kRounds = 4;

std::vector<std::uint8_t> bytes_of(const auto& value) {
  std::vector<std::uint8_t> out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

template <typename Fixed>
Fixed from_bytes(std::span<const std::uint8_t> data) {
  Fixed out{};
  std::memcpy(&out, data.data(), std::min(data.size(), sizeof out));
  return out;
}

std::uint32_t u32_of(const std::vector<Attribute>& all, std::uint16_t type) {
  const auto found = std::ranges::find(all, type, &Attribute::type);
  return found == all.end() ? 0 : found->u32();
}

struct Hop {
  rtnexthop fixed{};
  std::span<const std::uint8_t> attributes;  // padded
};

std::vector<Hop> hops_in(std::span<const std::uint8_t> data) {
  std::vector<Hop> all;
  while (data.size() >= sizeof(rtnexthop)) {
    Hop hop{from_bytes<rtnexthop>(data), {}};
    const std::size_t size = std::min<std::size_t>(RTNH_ALIGN(hop.fixed.rtnh_len), data.size());
    if (hop.fixed.rtnh_len < sizeof hop.fixed || hop.fixed.rtnh_len > data.size()) break;
    hop.attributes = data.subspan(sizeof hop.fixed, size - sizeof hop.fixed);
    all.push_back(hop);
    data = data.subspan(size);
  }
  return all;
}

bool leaves_by(const NetMessage& route, int index) {
  const auto wanted = static_cast<std::uint32_t>(index);
  bool found = false;
  for (const Attribute& a : route.attributes(sizeof(rtmsg))) {
    if (a.type == RTA_OIF && a.u32() == wanted) found = true;
    if (a.type != RTA_MULTIPATH) continue;
    for (const Hop& hop : hops_in(a.data)) found = found || hop.fixed.rtnh_ifindex == index;
  }
  return found;
}

// Those of addresses, which come and go with them.
bool kernel_made(const rtmsg& route) {
  return (route.rtm_flags & RTM_F_CLONED) != 0 ||
         (route.rtm_protocol == RTPROT_KERNEL && route.rtm_type != RTN_UNICAST);
}

// Its time is over, and the kernel has not yet removed it. If it were put again, it would stay for
// ever.
bool has_expired(const NetMessage& route) {
  return std::ranges::any_of(route.attributes(sizeof(rtmsg)), [](const Attribute& a) {
    return a.type == RTA_CACHEINFO && from_bytes<rta_cacheinfo>(a.data).rta_expires < 0;
  });
}

bool has_gateway(const NetMessage& route) {
  return std::ranges::any_of(route.attributes(sizeof(rtmsg)), [](const Attribute& a) {
    return a.type == RTA_GATEWAY || a.type == RTA_VIA || a.type == RTA_MULTIPATH;
  });
}

bool is_reachable(const NetMessage& address) {
  const auto fixed = address.fixed<ifaddrmsg>();
  return fixed.ifa_scope != RT_SCOPE_LINK && fixed.ifa_scope != RT_SCOPE_HOST;
}

constexpr unsigned kHopFlags = RTNH_F_ONLINK | RTNH_F_PERVASIVE;  // the others are the kernel's

// An IPv4 route is one with all its hops. Of an IPv6 route each hop is added and taken by itself.
std::vector<std::uint8_t> hops_for(std::span<const std::uint8_t> data, const rtmsg& route,
                                   const Rewrite& rewrite) {
  std::vector<std::uint8_t> kept;
  for (Hop hop : hops_in(data)) {
    const bool ours = hop.fixed.rtnh_ifindex == rewrite.from;
    if (route.rtm_family == AF_INET6 && !ours) continue;
    if (ours) hop.fixed.rtnh_ifindex = rewrite.to;
    hop.fixed.rtnh_flags &= kHopFlags;
    const auto fixed = bytes_of(hop.fixed);
    kept.insert(kept.end(), fixed.begin(), fixed.end());
    kept.insert(kept.end(), hop.attributes.begin(), hop.attributes.end());
  }
  return kept;
}

std::uint32_t seconds(std::uint32_t ticks) {
  return ticks / static_cast<std::uint32_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
}

std::string with_length(int family, std::span<const std::uint8_t> address, unsigned length) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  std::array<std::uint8_t, 16> whole{};
  std::copy_n(address.begin(), std::min(address.size(), whole.size()), whole.begin());
  static_cast<void>(::inet_ntop(family, whole.data(), text.data(), text.size()));
  return text.data() + ("/" + std::to_string(length));
}

// Puts one route after the other, in a few rounds: a route may need another one first. Returns a
// line for each that is refused.
std::vector<std::string> put_routes(Rtnetlink& net, std::vector<const NetMessage*> routes,
                                    const Rewrite& rewrite) {
  std::vector<std::string> refused;
  for (int round = 0; round < kRounds && !routes.empty(); ++round) {
    refused.clear();
    std::vector<const NetMessage*> again;
    for (const NetMessage* route : routes) {
      const int error = net.ask(route_request(*route, rewrite));
      if (error == 0 || error == EEXIST) continue;
      again.push_back(route);
      refused.push_back("route " + message_text(*route) + ": " + net.why());
    }
    routes = std::move(again);
  }
  return refused;
}

}  // namespace

Addressing Addressing::of(Rtnetlink& net, int index) {
  Addressing all;
  for (NetMessage& m : net.dump(NetRequest(RTM_GETADDR, 0).fixed(ifaddrmsg{}))) {
    const auto fixed = m.fixed<ifaddrmsg>();
    if (fixed.ifa_index != static_cast<unsigned>(index)) continue;
    if (fixed.ifa_family != AF_INET && fixed.ifa_family != AF_INET6) continue;
    if ((fixed.ifa_flags & IFA_F_DADFAILED) == 0) all.addresses.push_back(std::move(m));
  }
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg route{};
    route.rtm_family = static_cast<unsigned char>(family);
    for (NetMessage& m : net.dump(NetRequest(RTM_GETROUTE, 0).fixed(route))) {
      if (kernel_made(m.fixed<rtmsg>()) || !leaves_by(m, index) || has_expired(m)) continue;
      all.routes.push_back(std::move(m));
    }
    for (const std::uint8_t flags : {std::uint8_t{0}, std::uint8_t{NTF_PROXY}}) {
      ndmsg neighbour{};
      neighbour.ndm_family = static_cast<unsigned char>(family);
      neighbour.ndm_flags = flags;
      for (NetMessage& m : net.dump(NetRequest(RTM_GETNEIGH, 0).fixed(neighbour))) {
        const auto fixed = m.fixed<ndmsg>();
        const bool lives = (fixed.ndm_state & (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE |
                                               NUD_DELAY | NUD_PROBE)) != 0;
        if (fixed.ndm_ifindex == index && fixed.ndm_type != RTN_MULTICAST &&
            (lives || (fixed.ndm_flags & NTF_PROXY) != 0)) {
          all.neighbours.push_back(std::move(m));
        }
      }
    }
  }
  // What leads to a gateway stands before what goes by it.
  std::stable_partition(all.routes.begin(), all.routes.end(),
                        [](const NetMessage& m) { return !has_gateway(m); });
  return all;
}

bool Addressing::has_address() const { return std::ranges::any_of(addresses, is_reachable); }

std::string Addressing::text() const {
  std::string all;
  for (const NetMessage& m : addresses) {
    if (is_reachable(m)) all += (all.empty() ? "" : " ") + message_text(m);
  }
  return all;
}

NetRequest address_request(const NetMessage& m, const Rewrite& rewrite) {
  auto fixed = m.fixed<ifaddrmsg>();
  const bool ipv4 = fixed.ifa_family == AF_INET;
  fixed.ifa_index = static_cast<unsigned>(rewrite.to);
  NetRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  request.fixed(fixed);
  for (const Attribute& a : m.attributes(sizeof fixed)) {
    if (a.type == IFA_LABEL && rewrite.over) continue;
    if (a.type == IFA_CACHEINFO && rewrite.over && ipv4) {
      auto times = from_bytes<ifa_cacheinfo>(a.data);
      times.ifa_prefered = times.ifa_valid = kForever;
      request.put(a.type, bytes_of(times));
    } else {
      request.put(a.type, a.data);
    }
  }
  return request;
}

NetRequest route_request(const NetMessage& m, const Rewrite& rewrite) {
  auto fixed = m.fixed<rtmsg>();
  fixed.rtm_flags &= kHopFlags;
  // Beside those that are there: the other interface's may have the same metric.
  NetRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND);
  request.fixed(fixed);
  for (const Attribute& a : m.attributes(sizeof fixed)) {
    if (a.type == RTA_OIF && a.u32() == static_cast<std::uint32_t>(rewrite.from)) {
      request.put(RTA_OIF, static_cast<std::uint32_t>(rewrite.to));
    } else if (a.type == RTA_MULTIPATH) {
      request.put(RTA_MULTIPATH, std::span<const std::uint8_t>(hops_for(a.data, fixed, rewrite)));
    } else if (a.type == RTA_CACHEINFO) {
      const auto times = from_bytes<rta_cacheinfo>(a.data);
      if (fixed.rtm_family == AF_INET6 && times.rta_expires > 0) {
        request.put(RTA_EXPIRES, seconds(static_cast<std::uint32_t>(times.rta_expires)));
      }
    } else {
      request.put(a.type, a.data);
    }
  }
  return request;
}

NetRequest neighbour_request(const NetMessage& m, const Rewrite& rewrite) {
  auto fixed = m.fixed<ndmsg>();
  fixed.ndm_ifindex = rewrite.to;
  if ((fixed.ndm_state & (NUD_DELAY | NUD_PROBE)) != 0) fixed.ndm_state = NUD_STALE;
  NetRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  request.fixed(fixed);
  for (const Attribute& a : m.attributes(sizeof fixed)) {
    if (a.type != NDA_CACHEINFO && a.type != NDA_PROBES) request.put(a.type, a.data);
  }
  return request;
}

std::vector<std::string> put(Rtnetlink& net, const Addressing& what, const Rewrite& rewrite) {
  std::vector<std::string> refused;
  for (const NetMessage& m : what.addresses) {
    const int error = net.ask(address_request(m, rewrite));
    if (error != 0 && error != EEXIST) {
      refused.push_back("address " + message_text(m) + ": " + net.why());
    }
  }
  std::vector<const NetMessage*> routes;
  for (const NetMessage& m : what.routes) routes.push_back(&m);
  for (std::string& line : put_routes(net, std::move(routes), rewrite)) {
    refused.push_back(std::move(line));
  }
  // Learned again if they are refused.
  for (const NetMessage& m : what.neighbours) {
    static_cast<void>(net.ask(neighbour_request(m, rewrite)));
  }
  return refused;
}

void take(Rtnetlink& net, const Addressing& what, int index) {
  const Rewrite same{index, index, false};
  // Some of it goes with what went before.
  const auto drop = [&](NetRequest request, std::uint16_t type) {
    request.header()->nlmsg_type = type;
    request.header()->nlmsg_flags = NLM_F_REQUEST;
    static_cast<void>(net.ask(std::move(request)));
  };
  for (auto m = what.routes.rbegin(); m != what.routes.rend(); ++m) {
    drop(route_request(*m, same), RTM_DELROUTE);
  }
  for (const NetMessage& m : what.neighbours) drop(neighbour_request(m, same), RTM_DELNEIGH);
  for (auto m = what.addresses.rbegin(); m != what.addresses.rend(); ++m) {
    drop(address_request(*m, same), RTM_DELADDR);
  }
}

std::string message_text(const NetMessage& m) {
  if (m.type() == RTM_NEWADDR) {
    const auto fixed = m.fixed<ifaddrmsg>();
    const auto all = m.attributes(sizeof fixed);
    auto found = std::ranges::find(all, std::uint16_t{IFA_LOCAL}, &Attribute::type);
    if (found == all.end()) {
      found = std::ranges::find(all, std::uint16_t{IFA_ADDRESS}, &Attribute::type);
    }
    return found == all.end() ? ""
                              : with_length(fixed.ifa_family, found->data, fixed.ifa_prefixlen);
  }
  const auto fixed = m.fixed<rtmsg>();
  const auto all = m.attributes(sizeof fixed);
  const auto to = std::ranges::find(all, std::uint16_t{RTA_DST}, &Attribute::type);
  const std::uint32_t table = u32_of(all, RTA_TABLE);
  return (to == all.end() ? "default"
                          : with_length(fixed.rtm_family, to->data, fixed.rtm_dst_len)) +
         (table == RT_TABLE_MAIN || table == 0 ? "" : " table " + std::to_string(table));
}

}  // namespace synproxy::control
