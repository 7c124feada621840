// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/too_long.h"

#include <algorithm>
#include <cstring>

#include "frames/segment_piece.h"
#include "frames/tcp_writer.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/headers.h"

namespace synproxy {
namespace {

// A few bytes go in any case, whatever options stand before them.
constexpr std::uint32_t kLeastPiece = 8;

// The largest packet that a host with this MSS takes (RFC 9293 section 3.7.1).
std::uint32_t packet_size(bool ipv6, std::uint16_t mss) {
  return mss + static_cast<std::uint32_t>(ip_header_size(ipv6) + kTcpHeader);
}

// The least MTU of a link. A host may ignore a smaller one (RFC 791, RFC 8201 section 4).
std::uint32_t least_mtu(bool ipv6) { return ipv6 ? 1280 : 68; }

bool may_be_told(const Segment& g) {
  return g.ipv6 || (load_be<std::uint16_t>(g.l3() + ipv4_at::kFragment) & kDontFragment) != 0;
}

// RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c): as much as fits the packet that every host
// takes.
std::size_t quoted_bytes(const Segment& g) {
  const std::size_t all = std::size_t{g.l4_offset} - g.l3_offset + g.l4_length;
  const std::size_t largest = g.ipv6 ? 1280 : 576;
  return std::min(all, largest - ip_header_size(g.ipv6) - icmp_at::kHeader);
}

// Writes the error behind the Ethernet header of `frame`; returns the size of the packet. It comes
// from the server's address: the proxy has none.
std::size_t write_error(std::uint8_t* ip, const Segment& g, std::uint32_t mtu) {
  const std::size_t quoted = quoted_bytes(g);
  const std::size_t length = icmp_at::kHeader + quoted;
  const std::size_t header = ip_header_size(g.ipv6);
  std::memset(ip, 0, header + icmp_at::kHeader);
  std::uint8_t* icmp = ip + header;
  const std::size_t address = ip_address_size(g.ipv6);
  std::memcpy(ip + ip_source_at(g.ipv6), g.destination(), address);
  std::memcpy(ip + ip_destination_at(g.ipv6), g.source(), address);
  std::uint64_t pseudo = 0;
  if (g.ipv6) {
    store_be<std::uint32_t>(ip + ipv6_at::kVersion, 6U << 28);
    store_be<std::uint32_t>(
        ip + ipv6_at::kPayloadLength,
        static_cast<std::uint32_t>(length << 16 | kProtocolIcmpv6 << 8 | kDefaultTtl));
    icmp[icmp_at::kType] = 2;  // packet too big
    pseudo = pseudo_header_sum(ip + ipv6_at::kSource, true, kProtocolIcmpv6,
                               static_cast<std::uint32_t>(length));
  } else {
    store_be<std::uint32_t>(ip, ipv4_length_word(static_cast<std::uint32_t>(header + length)));
    store_be<std::uint32_t>(ip + ipv4_at::kId, kIpv4FragmentWord);
    ip[ipv4_at::kTtl] = kDefaultTtl;
    ip[ipv4_at::kProtocol] = kProtocolIcmp;
    store_ipv4_checksum(ip, header);
    icmp[icmp_at::kType] = 3;  // destination unreachable, ...
    icmp[icmp_at::kCode] = 4;  // ... fragmentation needed and DF set
  }
  store_be<std::uint32_t>(icmp + icmp_at::kMtu, mtu);
  std::memcpy(icmp + icmp_at::kHeader, g.l3(), quoted);
  const std::uint16_t sum = finish_sum(add_to_sum(pseudo, icmp, length));
  std::memcpy(icmp + icmp_at::kChecksum, &sum, sizeof sum);
  return header + length;
}

}  // namespace

TooLong::TooLong(std::uint32_t max_flows, Counters& counters)
    : counters_(counters),
      flows_(max_flows / 64 + 1),
      scratch_(std::make_unique<std::uint8_t[]>(kMaxFrame)) {}

std::uint32_t TooLong::room_for(const Segment& g, std::uint16_t mss) {
  const std::uint32_t headers = std::uint32_t{g.l4_offset} - g.l3_offset + g.header_length;
  const std::uint32_t packet = packet_size(g.ipv6, mss);
  return std::max(kLeastPiece, packet > headers ? packet - headers : 0);
}

void TooLong::tell(const Segment& g, std::uint64_t hash, const Link* link, std::uint16_t mss,
                   std::uint32_t now_ms, FrameSink& sink) {
  if (link == nullptr || !may_be_told(g)) return;
  std::uint32_t& told = told_ms_[hash >> 40 & (kTold - 1)];
  const std::uint32_t now = now_ms + 1;
  if (told != 0 && now - told < kTellAgainMs) return;
  told = now;
  std::uint8_t* frame = scratch_.get();
  const LinkHeader& way = link->to_client;
  way.write(frame);
  const std::uint32_t mtu = std::max(packet_size(g.ipv6, mss), least_mtu(g.ipv6));
  const std::size_t size = write_error(frame + way.length, g, mtu);
  sink.emit(Role::kClient, {frame, way.length + size});
  counters_.count(Reason::icmp_too_long);
}

void TooLong::send_from(const Segment& g, std::uint32_t nth, std::uint32_t room, FrameSink& sink) {
  const std::uint32_t headers = std::uint32_t{g.l4_offset} + g.header_length;
  std::uint8_t* piece = scratch_.get();
  for (std::uint32_t at = nth * room; at < g.payload_length && nth < kMostPieces; ++nth) {
    const std::uint32_t size = std::min<std::uint32_t>(room, g.payload_length - at);
    std::memcpy(piece, g.frame, headers);
    std::memcpy(piece + headers, g.frame + headers + at, size);
    make_piece(piece, g, at, size, nth);
    sink.emit(Role::kServer, {piece, headers + size});
    if (nth != 0) counters_.count(Reason::piece_to_server);
    at += size;
  }
  counters_.count(Reason::segment_cut);
}

void TooLong::send_cut(const Segment& g, std::uint32_t room, FrameSink& sink) {
  send_from(g, 0, room, sink);
}

std::uint32_t TooLong::cut(const Segment& g, std::uint32_t room, FrameSink& sink) {
  send_from(g, 1, room, sink);
  const std::uint32_t first = std::min<std::uint32_t>(room, g.payload_length);
  make_piece(g.frame, g, 0, first, 0);
  return std::uint32_t{g.l4_offset} + g.header_length + first;
}

}  // namespace synproxy
