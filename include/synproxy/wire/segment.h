// SPDX-License-Identifier: BSD-3-Clause
// The checked view of a received frame: Ethernet, VLAN tags, IPv4 or IPv6, TCP.
//
// Only parse_frame() makes a Segment. Every offset and length in it has been checked against the
// bytes that are there, so the accessors need no checks of their own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"
#include "synproxy/wire/seq_num.h"
#include "synproxy/wire/usual_frame.h"
#include "synproxy/wire/vlan.h"

namespace synproxy {

enum class ParseResult : std::uint8_t {
  kOther,     // not IP, too short for IP, or IP with something that is neither TCP nor ICMP
  kTcp,       // a whole TCP segment: all fields are valid
  kIcmp,      // ICMPv4 or ICMPv6: l3, l4_offset, l4_length and addresses are valid
  kFragment,  // of TCP: addresses are valid
  kBadIp,     // impossible length, or extension headers that cannot be walked: addresses are valid
  kBadTcp,    // TCP whose header does not fit: addresses are valid
  kTooDeep,   // any of the above but kOther and kIcmp, under more than kMaxVlanTags tags: addresses
              // are valid
  kTagPile,   // more than kMostVlanTags tags: nothing is known of the rest
};

struct Segment {
  std::uint8_t* frame = nullptr;
  ParseResult result = ParseResult::kOther;
  bool ipv6 = false;
  std::uint16_t l3_offset = 0;  // also the length of the Ethernet header with its tags
  std::uint16_t l4_offset = 0;
  std::uint16_t l4_length = 0;  // TCP header and payload, by the IP length: without padding
  std::uint16_t payload_length = 0;
  std::uint16_t flags = 0;         // kFin .. kAe
  std::uint16_t window = 0;        // as on the wire, unscaled
  std::uint8_t header_length = 0;  // of TCP, bytes, 20 to 60
  VlanStack vlan;
  SeqNum seq;
  SeqNum ack;
  // Both ports as one word, source first. A reader of both would wait for two separate stores to be
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
  [[nodiscard]] std::uint8_t* source() const { return l3() + ip_source_at(ipv6); }
  [[nodiscard]] std::uint8_t* destination() const { return l3() + ip_destination_at(ipv6); }
  [[nodiscard]] std::uint8_t* options() const { return l4() + tcp_at::kOptions; }
  [[nodiscard]] std::size_t options_size() const { return header_length - kTcpHeader; }
  [[nodiscard]] std::uint8_t* tcp_checksum() const { return l4() + tcp_at::kChecksum; }
  [[nodiscard]] bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
  // Sequence space that the segment takes (RFC 9293: SEG.LEN).
  [[nodiscard]] std::uint32_t seq_length() const {
    return payload_length + (has(kSyn) ? 1U : 0U) + (has(kFin) ? 1U : 0U);
  }
  [[nodiscard]] SeqNum seq_end() const { return seq + seq_length(); }
};

namespace detail {
void parse_any_frame(std::uint8_t* frame, std::size_t length, Segment& out);

// Fills the TCP fields. l4_length is set, and the header fits it.
inline void read_tcp_header(const std::uint8_t* tcp, std::uint16_t offset_and_flags, Segment& out) {
  const unsigned header_length = tcp_header_size(offset_and_flags);
  out.header_length = static_cast<std::uint8_t>(header_length);
  out.payload_length = static_cast<std::uint16_t>(out.l4_length - header_length);
  out.ports = be32::from_raw(load_raw<std::uint32_t>(tcp + tcp_at::kPorts));
  out.seq = SeqNum(load_be<std::uint32_t>(tcp + tcp_at::kSeq));
  out.ack = SeqNum(load_be<std::uint32_t>(tcp + tcp_at::kAck));
  out.flags = offset_and_flags & kTcpFlagBits;
  out.window = load_be<std::uint16_t>(tcp + tcp_at::kWindow);
}
}  // namespace detail

// Reads at most `length` bytes from `frame`.
inline void parse_frame(std::uint8_t* frame, std::size_t length, Segment& out) {
  if (!has_usual_length(length)) return detail::parse_any_frame(frame, length, out);
  const std::size_t total = load_be<std::uint16_t>(frame + usual_at::kTotalLength);
  const auto offset_and_flags = load_be<std::uint16_t>(frame + usual_at::kOffsetAndFlags);
  const unsigned header_length = tcp_header_size(offset_and_flags);
  if (difference_from_usual(frame) != 0 || !usual_lengths_fit(total, header_length, length)) {
    return detail::parse_any_frame(frame, length, out);
  }
  out.frame = frame;
  out.result = ParseResult::kTcp;
  out.ipv6 = false;
  out.l3_offset = usual_at::kIp;
  out.l4_offset = usual_at::kTcp;
  out.l4_length = static_cast<std::uint16_t>(total - kIpv4Header);
  out.vlan = VlanStack{};
  detail::read_tcp_header(frame + usual_at::kTcp, offset_and_flags, out);
}

// Whether the checksum of the IPv4 header is good; always true for IPv6. For kTcp only.
[[nodiscard]] bool ip_checksum_good(const Segment& segment);
// Whether that one and the TCP checksum are good. For kTcp only.
[[nodiscard]] bool checksums_good(const Segment& segment);

}  // namespace synproxy
