// SPDX-License-Identifier: BSD-3-Clause
// Segments that the proxy makes itself: SYN-ACK, SYN, ACK, RST, keepalive.
//
// They look like segments of the end in whose name they are sent: its TTL or hop limit, DSCP and
// flow label (IpLook). They inherit nothing else from the packet that caused them. DF is set, the
// IP ID is 0 (allowed by RFC 6864 section 4.1 for a datagram that is never fragmented), IP-ECN is
// 00, there are no IP options, and the urgent pointer is 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/base/packet.h"
#include "synproxy/flow/key.h"
#include "synproxy/wire/ip_look.h"
#include "synproxy/wire/option_list.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

struct TcpReply {
  SeqNum seq;
  SeqNum ack;
  std::uint16_t flags = 0;
  std::uint16_t window = 0;              // as on the wire
  std::uint16_t mss = 0;                 // 0: no option
  std::uint8_t window_scale = kNoScale;  // kNoScale: no option
  bool sack_permitted = false;
  bool timestamps = false;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};

struct IpEnds {
  AddressBytes source{};
  AddressBytes destination{};
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  bool ipv6 = false;
};

// Source and destination of a segment of `key` that goes to `to`.
[[nodiscard]] IpEnds ends_of(const FlowKey& key, Role to);

inline constexpr std::size_t kMaxTcpPacket = kIpv6Header + kTcpHeader + kAllFourOptions.bytes();
inline constexpr std::size_t kMaxReplyFrame = kMaxL2Header + kMaxTcpPacket;

[[nodiscard]] std::size_t tcp_packet_size(bool ipv6, const TcpReply& reply);

// Writes IP and TCP header with both checksums to `l3`, which has tcp_packet_size() bytes of room,
// and returns that size.
std::size_t write_tcp_packet(std::uint8_t* l3, const IpEnds& ends, const TcpReply& reply,
                             const IpLook& look);

// Turns the frame of `segment` into an answer that goes back where it came from: MAC addresses
// swapped, tags kept. False when the answer does not fit the packet's room; nothing was written
// then.
[[nodiscard]] bool reply_in_place(Packet& packet, const Segment& segment, const TcpReply& reply,
                                  const IpLook& look);

}  // namespace synproxy
