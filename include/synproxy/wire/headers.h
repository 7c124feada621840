// SPDX-License-Identifier: BSD-3-Clause
// Sizes, offsets and constants of the headers that the proxy reads and writes.
//
// The namespace of an offset says from which header it counts: frame + ether_at::kType, ip +
// ipv4_at::kProtocol, tcp + tcp_at::kWindow.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/vlan.h"

namespace synproxy {

inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kVlanTag = 4;
inline constexpr std::size_t kMaxL2Header = kEthernetHeader + kMaxVlanTags * kVlanTag;
inline constexpr std::size_t kIpv4Header = 20;
inline constexpr std::size_t kIpv6Header = 40;
inline constexpr std::size_t kTcpHeader = 20;
// Offsets into a frame have 16 bits, because no wire brings longer frames.
inline constexpr std::size_t kMaxFrame = 0xffff;

inline constexpr std::size_t kMacAddress = 6;
namespace ether_at {
inline constexpr std::size_t kDestination = 0;
inline constexpr std::size_t kSource = 6;
inline constexpr std::size_t kType = 12;
}  // namespace ether_at

// A VLAN tag. Offsets count from the byte behind the tag's own EtherType.
namespace vlan_at {
inline constexpr std::size_t kTci = 0;
inline constexpr std::size_t kType = 2;
}  // namespace vlan_at

namespace ipv4_at {
inline constexpr std::size_t kVersionAndLength = 0;
inline constexpr std::size_t kTrafficClass = 1;  // TOS
inline constexpr std::size_t kTotalLength = 2;
inline constexpr std::size_t kId = 4;
inline constexpr std::size_t kFragment = 6;
inline constexpr std::size_t kTtl = 8;
inline constexpr std::size_t kProtocol = 9;
inline constexpr std::size_t kChecksum = 10;
inline constexpr std::size_t kSource = 12;
inline constexpr std::size_t kDestination = 16;
}  // namespace ipv4_at

namespace ipv6_at {
inline constexpr std::size_t kVersion = 0;
inline constexpr std::size_t kPayloadLength = 4;
inline constexpr std::size_t kNextHeader = 6;
inline constexpr std::size_t kHopLimit = 7;
inline constexpr std::size_t kSource = 8;
inline constexpr std::size_t kDestination = 24;
}  // namespace ipv6_at

// An extension header. Its size counts in units of eight bytes, without the first eight.
namespace extension_at {
inline constexpr std::size_t kNextHeader = 0;
inline constexpr std::size_t kLength = 1;
inline constexpr std::size_t kFragmentOffset = 2;  // of a fragment header
inline constexpr std::size_t kFragmentId = 4;      // of a fragment header
inline constexpr std::size_t kSegmentsLeft = 3;    // of a routing header
}  // namespace extension_at
inline constexpr std::size_t kSmallestExtension = 8;
[[nodiscard]] constexpr std::size_t extension_size(std::uint8_t length_field) {
  return kSmallestExtension + length_field * std::size_t{8};
}

namespace tcp_at {
inline constexpr std::size_t kPorts = 0;
inline constexpr std::size_t kSourcePort = 0;
inline constexpr std::size_t kDestinationPort = 2;
inline constexpr std::size_t kSeq = 4;
inline constexpr std::size_t kAck = 8;
inline constexpr std::size_t kOffsetAndFlags = 12;
inline constexpr std::size_t kFlags = 13;  // the lower eight flags
inline constexpr std::size_t kWindow = 14;
inline constexpr std::size_t kChecksum = 16;
inline constexpr std::size_t kUrgentPointer = 18;
inline constexpr std::size_t kOptions = kTcpHeader;
}  // namespace tcp_at

namespace icmp_at {
inline constexpr std::size_t kType = 0;
inline constexpr std::size_t kCode = 1;
inline constexpr std::size_t kChecksum = 2;
inline constexpr std::size_t kMtu = 4;  // of "fragmentation needed" and "packet too big"
inline constexpr std::size_t kHeader = 8;
}  // namespace icmp_at

// By family.
[[nodiscard]] constexpr std::size_t ip_header_size(bool ipv6) {
  return ipv6 ? kIpv6Header : kIpv4Header;
}
[[nodiscard]] constexpr std::size_t ip_source_at(bool ipv6) {
  return ipv6 ? ipv6_at::kSource : ipv4_at::kSource;
}
[[nodiscard]] constexpr std::size_t ip_destination_at(bool ipv6) {
  return ipv6 ? ipv6_at::kDestination : ipv4_at::kDestination;
}
[[nodiscard]] constexpr std::size_t ip_address_size(bool ipv6) { return ipv6 ? 16 : 4; }

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
// The group bit of a MAC address, in its first byte: it names more than one station (IEEE 802
// section 8.2.2).
inline constexpr std::uint8_t kGroupAddress = 1;

inline constexpr std::uint8_t kIpv4WithoutOptions = 0x45;  // version and header length
// The fragment field of IPv4, RFC 791.
inline constexpr std::uint16_t kDontFragment = 0x4000;
inline constexpr std::uint16_t kFragmentOffset = 0x1fff;
inline constexpr std::uint16_t kMoreFragments = 0x2000;
inline constexpr std::uint16_t kFragmented = kMoreFragments | kFragmentOffset;  // not whole
// In the header of RFC 8200 section 4.5 the offset counts bytes, and its lowest bit says that more
// follow.
inline constexpr std::uint16_t kIpv6FragmentOffset = 0xfff8;
inline constexpr std::uint16_t kIpv6MoreFragments = 1;

// DSCP in the first word of either header, RFC 2474 (the two bits below it are ECN, RFC 3168), and
// for IPv6 the flow label.
[[nodiscard]] constexpr std::uint32_t look_bits(bool ipv6) {
  return ipv6 ? 0x0fcfffffU : 0x00fc0000U;
}

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
// IPv6 extension headers that may stand before TCP, RFC 8200 section 4.
inline constexpr std::uint8_t kHopByHop = 0;
inline constexpr std::uint8_t kRouting = 43;
inline constexpr std::uint8_t kFragmentHeader = 44;
inline constexpr std::uint8_t kDestinationOptions = 60;
// Before TCP stand at most hop-by-hop options, destination options, a routing header that has been
// used up, and destination options again (section 4.1). A longer chain is an attack: each header of
// it costs a look into memory that nobody has fetched. So is a long one: a routing header with
// eight segments, or a home address and an alignment, take less than half of the bytes.
inline constexpr int kMaxExtensionHeaders = 4;
inline constexpr std::size_t kMaxExtensionBytes = 256;
[[nodiscard]] constexpr bool is_extension(std::uint8_t next) {
  return next == kHopByHop || next == kRouting || next == kFragmentHeader ||
         next == kDestinationOptions;
}

// TCP flags, RFC 9293 section 3.1; AE is the former NS (RFC 9768).
inline constexpr std::uint16_t kFin = 0x001;
inline constexpr std::uint16_t kSyn = 0x002;
inline constexpr std::uint16_t kRst = 0x004;
inline constexpr std::uint16_t kPsh = 0x008;
inline constexpr std::uint16_t kAck = 0x010;
inline constexpr std::uint16_t kUrg = 0x020;
inline constexpr std::uint16_t kEce = 0x040;
inline constexpr std::uint16_t kCwr = 0x080;
inline constexpr std::uint16_t kAe = 0x100;

// The 16 bits at tcp_at::kOffsetAndFlags. Sizes in bytes.
inline constexpr std::uint16_t kTcpOffsetBits = 0xf000;
inline constexpr std::uint16_t kTcpFlagBits = 0x01ff;
[[nodiscard]] constexpr unsigned tcp_header_size(std::uint16_t offset_and_flags) {
  return (offset_and_flags >> 12) * 4U;
}
[[nodiscard]] constexpr std::uint16_t tcp_offset_and_flags(std::size_t header, unsigned flags) {
  return static_cast<std::uint16_t>(header / 4 << 12 | flags);
}

}  // namespace synproxy
