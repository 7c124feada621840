// SPDX-License-Identifier: BSD-3-Clause
// Finds the IP header of a frame, whatever follows it: for those who judge by addresses or TTL
// alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"

namespace synproxy {

// The header without options or extension headers is there. Nothing else has been checked.
struct IpHeader {
  const std::uint8_t* at = nullptr;  // nullptr: the frame has none
  std::size_t length = 0;            // bytes of the frame from there on
  bool ipv6 = false;

  [[nodiscard]] const std::uint8_t* source() const { return at + ip_source_at(ipv6); }
  [[nodiscard]] const std::uint8_t* destination() const { return at + ip_destination_at(ipv6); }
  // Or hop limit.
  [[nodiscard]] std::uint8_t ttl() const { return at[ipv6 ? ipv6_at::kHopLimit : ipv4_at::kTtl]; }
};

// Reads at most `length` bytes from `frame`. It finds a header wherever parse_frame() finds
// addresses.
[[nodiscard]] inline IpHeader find_ip_header(const std::uint8_t* frame, std::size_t length) {
  if (length < kEthernetHeader) return {};
  std::size_t at = kEthernetHeader;
  auto type = load_be<std::uint16_t>(frame + ether_at::kType);
  for (std::uint32_t tags = 0; type == kEtherTypeVlan || type == kEtherTypeQinQ; ++tags) {
    if (tags == kMostVlanTags || length - at < kVlanTag) return {};
    type = load_be<std::uint16_t>(frame + at + vlan_at::kType);
    at += kVlanTag;
  }
  const bool ipv6 = type == kEtherTypeIpv6;
  if (!ipv6 && type != kEtherTypeIpv4) return {};
  if (length - at < ip_header_size(ipv6)) return {};
  return {frame + at, length - at, ipv6};
}

}  // namespace synproxy
