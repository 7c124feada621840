// SPDX-License-Identifier: BSD-3-Clause
// The checked view of a received frame: Ethernet, VLAN tags, IPv4 or IPv6, TCP.
//
// Only parse_frame() makes a Segment. Every offset and length in it has been checked against the
// bytes that are there, so the accessors need no checks of their own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/seq_num.h"
#include "synproxy/wire/vlan.h"

namespace synproxy {

inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kVlanTag = 4;
inline constexpr std::size_t kMaxL2Header = kEthernetHeader + kMaxVlanTags * kVlanTag;
inline constexpr std::size_t kIpv4Header = 20;
inline constexpr std::size_t kIpv6Header = 40;
inline constexpr std::size_t kTcpHeader = 20;
inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
// IPv6 extension headers that may stand before TCP, RFC 8200 section 4.
inline constexpr std::uint8_t kHopByHop = 0;
inline constexpr std::uint8_t kRouting = 43;
inline constexpr std::uint8_t kFragmentHeader = 44;
inline constexpr std::uint8_t kDestinationOptions = 60;
// Section 4.1 lists six, one of them twice; more is an attack.
inline constexpr int kMaxExtensionHeaders = 8;
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

enum class ParseResult : std::uint8_t {
  kOther,     // not IP, too short for IP, or IP with something that is neither TCP nor ICMP
  kTcp,       // a whole TCP segment: all fields hold
  kIcmp,      // ICMPv4 or ICMPv6: l3, l4_offset, l4_length and addresses hold
  kFragment,  // of TCP: addresses hold
  kBadIp,   // impossible length, or an extension header chain that cannot be walked: addresses hold
  kBadTcp,  // TCP whose header does not fit: addresses hold
  kTooDeep,  // TCP in any of these shapes under more than kMaxVlanTags tags: addresses hold
};

struct Segment {
  std::uint8_t* frame = nullptr;
  ParseResult result = ParseResult::kOther;
  bool ipv6 = false;
  std::uint16_t l3_offset = 0;  // also the length of the Ethernet header with its tags
  std::uint16_t l4_offset = 0;
  std::uint16_t l4_length = 0;  // TCP header and payload, from the IP length: padding is not in it
  std::uint16_t payload_length = 0;
  std::uint16_t flags = 0;         // kFin .. kAe
  std::uint16_t window = 0;        // as on the wire, unscaled
  std::uint8_t header_length = 0;  // of TCP, bytes, 20 to 60
  VlanStack vlan;
  SeqNum seq;
  SeqNum ack;
  // Both ports as one word, source first: whoever needs both must not wait for two stores to be
  // joined.
  be32 ports;

  [[nodiscard]] std::uint16_t source_port() const {
    return static_cast<std::uint16_t>(ports.host() >> 16);
  }
  [[nodiscard]] std::uint16_t destination_port() const {
    return static_cast<std::uint16_t>(ports.host());
  }
  [[nodiscard]] std::uint8_t* l3() const { return frame + l3_offset; }
  [[nodiscard]] std::uint8_t* l4() const { return frame + l4_offset; }
  [[nodiscard]] std::uint8_t* source() const { return l3() + (ipv6 ? 8 : 12); }
  [[nodiscard]] std::uint8_t* destination() const { return l3() + (ipv6 ? 24 : 16); }
  [[nodiscard]] std::uint8_t* options() const { return l4() + kTcpHeader; }
  [[nodiscard]] std::size_t options_size() const { return header_length - kTcpHeader; }
  [[nodiscard]] std::uint8_t* tcp_checksum() const { return l4() + 16; }
  [[nodiscard]] bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
  // Sequence space that the segment takes (RFC 9293: SEG.LEN).
  [[nodiscard]] std::uint32_t seq_length() const {
    return payload_length + (has(kSyn) ? 1U : 0U) + (has(kFin) ? 1U : 0U);
  }
  [[nodiscard]] SeqNum seq_end() const { return seq + seq_length(); }
};

namespace detail {
void parse_any_frame(std::uint8_t* frame, std::size_t length, Segment& out);
}

// Reads at most `length` bytes from `frame`.
inline void parse_frame(std::uint8_t* frame, std::size_t length, Segment& out) {
  // What nearly every frame is, matched whole: untagged, IPv4 without options, no fragment, TCP.
  constexpr std::size_t kHeaders = kEthernetHeader + kIpv4Header + kTcpHeader;
  if (length < kHeaders || length > 0xffff) return detail::parse_any_frame(frame, length, out);
  const std::uint32_t type_and_version = load_be<std::uint32_t>(frame + 12) & 0xffffff00U;
  const std::uint32_t fragment = load_be<std::uint16_t>(frame + 20) & 0x3fffU;
  const std::uint32_t total = load_be<std::uint16_t>(frame + 16);
  const auto offset_and_flags = load_be<std::uint16_t>(frame + 46);
  const unsigned header_length = (offset_and_flags >> 12) * 4U;
  if (type_and_version != (std::uint32_t{kEtherTypeIpv4} << 16 | 0x4500U) ||
      frame[23] != kProtocolTcp || fragment != 0 || total > length - kEthernetHeader ||
      header_length < kTcpHeader || total < kIpv4Header + header_length) {
    return detail::parse_any_frame(frame, length, out);
  }
  out.frame = frame;
  out.result = ParseResult::kTcp;
  out.ipv6 = false;
  out.l3_offset = kEthernetHeader;
  out.l4_offset = kEthernetHeader + kIpv4Header;
  out.l4_length = static_cast<std::uint16_t>(total - kIpv4Header);
  out.payload_length = static_cast<std::uint16_t>(total - kIpv4Header - header_length);
  out.ports = be32::from_raw(load_raw<std::uint32_t>(frame + 34));
  out.seq = SeqNum(load_be<std::uint32_t>(frame + 38));
  out.ack = SeqNum(load_be<std::uint32_t>(frame + 42));
  out.flags = offset_and_flags & 0x1ffU;
  out.window = load_be<std::uint16_t>(frame + 48);
  out.header_length = static_cast<std::uint8_t>(header_length);
  out.vlan = VlanStack{};
}

// The IPv4 header's; always true for IPv6. For kTcp only, as the next.
[[nodiscard]] bool ip_checksum_good(const Segment& segment);
// That one and the TCP checksum.
[[nodiscard]] bool checksums_good(const Segment& segment);

}  // namespace synproxy
