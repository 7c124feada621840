// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture_glance.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <vector>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"
#include "synproxy/wire/ip_header.h"

namespace synproxy::dataplane {
namespace {

// What the rules of a family agree on in an end's address.
struct Agreed {
  AddressBytes mask{};
  AddressBytes value{};
  bool never = false;  // there are rules, and none is of the family

  Agreed(const std::vector<ProtectRule>& rules, bool ipv6) : never(!rules.empty()) {
    for (const ProtectRule& rule : rules) {
      if (rule.ipv6 != ipv6) continue;
      for (std::size_t i = 0; i < mask.size(); ++i) {
        const int bits = std::clamp(rule.prefix_length - static_cast<int>(8 * i), 0, 8);
        const auto fixed = static_cast<std::uint8_t>(0xff00U >> bits);
        mask[i] = never ? fixed : mask[i] & fixed & ~(value[i] ^ rule.address[i]);
        value[i] = rule.address[i] & mask[i];
      }
      never = false;
    }
  }
};

// Bytes of an end, from `at` on.
struct Part {
  const Agreed& end;
  std::size_t at;
  std::size_t bytes;
};

[[nodiscard]] bool is_ipv4(const std::uint8_t* frame) {
  constexpr std::array<std::uint8_t, 2> kType{kEtherTypeIpv4 >> 8, kEtherTypeIpv4 & 0xff};
  return load_raw<std::uint16_t>(frame + ether_at::kType) == load_raw<std::uint16_t>(kType.data());
}

}  // namespace

CaptureGlance::CaptureGlance(const CaptureFilter& filter) : two_ways_(filter.either_way) {
  const auto put = [](Words& words, std::size_t way, std::initializer_list<Part> parts) {
    std::array<std::uint8_t, 8> mask{};
    std::array<std::uint8_t, 8> value{};
    std::size_t to = 0;
    bool never = false;
    for (const Part& part : parts) {
      std::copy_n(part.end.mask.begin() + part.at, part.bytes, mask.begin() + to);
      std::copy_n(part.end.value.begin() + part.at, part.bytes, value.begin() + to);
      to += part.bytes;
      never = never || part.end.never;
    }
    words.mask[way] = never ? 0 : load_raw<std::uint64_t>(mask.data());
    words.value[way] = never ? 1 : load_raw<std::uint64_t>(value.data());
  };
  for (const bool ipv6 : {false, true}) {
    const Agreed client(filter.client, ipv6);
    const Agreed server(filter.server, ipv6);
    for (const Role role : {Role::kClient, Role::kServer}) {
      Sender& of = of_[static_cast<std::size_t>(role)];
      for (const std::size_t way : {0U, 1U}) {
        const bool turned = (role == Role::kServer) != (way == 1 && filter.either_way);
        const Agreed& from = turned ? server : client;
        const Agreed& to = turned ? client : server;
        if (!ipv6) {
          put(of.ipv4, way, {{from, 0, 4}, {to, 0, 4}});
          continue;
        }
        for (const std::size_t half : {0U, 1U}) {
          put(of.ipv6[half], way, {{from, 8 * half, 8}});
          put(of.ipv6[2 + half], way, {{to, 8 * half, 8}});
        }
      }
    }
  }
}

template <bool kTwoWays>
std::uint32_t CaptureGlance::look(const Sender& of, std::span<const Packet> burst) {
  constexpr std::size_t kProtocol = kEthernetHeader + ipv4_at::kProtocol;
  constexpr std::size_t kAddresses = kEthernetHeader + ipv4_at::kSource;
  const auto [mask, value] = of.ipv4;
  std::uint32_t found = 0;
  std::uint32_t bit = 1;
  for (const Packet& p : burst) {
    const std::uint8_t* const frame = p.data;
    if (p.length >= kEthernetHeader + kIpv4Header && is_ipv4(frame) &&
        frame[kProtocol] != kProtocolIcmp) [[likely]] {
      const auto word = load_raw<std::uint64_t>(frame + kAddresses);
      if ((word & mask[0]) == value[0] || (kTwoWays && (word & mask[1]) == value[1])) [[unlikely]]
        found |= bit;
    } else if (!refuses_other(of, p)) {
      found |= bit;
    }
    bit <<= 1;
  }
  return found;
}

std::uint32_t CaptureGlance::may_match(Role sender, std::span<const Packet> burst) const {
  const Sender& of = of_[static_cast<std::size_t>(sender)];
  return two_ways_ ? look<true>(of, burst) : look<false>(of, burst);
}

bool CaptureGlance::refuses_other(const Sender& of, const Packet& p) {
  const IpHeader ip = find_ip_header(p.data, p.length);
  if (ip.at == nullptr) return false;
  if (!ip.ipv6) {
    return ip.at[ipv4_at::kProtocol] != kProtocolIcmp &&
           of.ipv4.refuses(load_raw<std::uint64_t>(ip.source()));
  }
  // Behind other headers there may be an ICMP error, which quotes further addresses.
  if (ip.at[ipv6_at::kNextHeader] != kProtocolTcp) return false;
  for (std::size_t i = 0; i < of.ipv6.size(); ++i) {
    if (of.ipv6[i].refuses(load_raw<std::uint64_t>(ip.source() + 8 * i))) return true;
  }
  return false;
}

}  // namespace synproxy::dataplane
