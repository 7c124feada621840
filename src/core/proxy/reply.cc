// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/reply.h"

#include <cstring>

#include "synproxy/wire/checksum.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

constexpr std::uint8_t kTtl = 64;
constexpr std::uint16_t kDontFragment = 0x4000;

// Every group is a multiple of four bytes, in the order that Linux uses.
std::size_t options_size(const TcpReply& r) {
  return (r.mss != 0 ? 4U : 0U) + (r.timestamps ? 12U : (r.sack_permitted ? 4U : 0U)) +
         (r.window_scale != 15 ? 4U : 0U);
}

void write_options(std::uint8_t* p, const TcpReply& r) {
  if (r.mss != 0) {
    store_be<std::uint32_t>(p, 0x02040000U | r.mss);
    p += 4;
  }
  if (r.timestamps) {
    store_be<std::uint32_t>(p, r.sack_permitted ? 0x0402080aU : 0x0101080aU);
    store_be<std::uint32_t>(p + 4, r.tsval);
    store_be<std::uint32_t>(p + 8, r.tsecr);
    p += 12;
  } else if (r.sack_permitted) {
    store_be<std::uint32_t>(p, 0x01010402U);
    p += 4;
  }
  if (r.window_scale != 15) store_be<std::uint32_t>(p, 0x01030300U | r.window_scale);
}

std::uint8_t* write_ipv4(std::uint8_t* ip, const IpEnds& ends, std::size_t total) {
  store_be<std::uint16_t>(ip, 0x4500);
  store_be<std::uint16_t>(ip + 2, static_cast<std::uint16_t>(total));
  store_be<std::uint16_t>(ip + 4, 0);
  store_be<std::uint16_t>(ip + 6, kDontFragment);
  store_be<std::uint16_t>(ip + 8, kTtl << 8 | kProtocolTcp);
  std::memset(ip + 10, 0, 2);
  std::memcpy(ip + 12, ends.source.data(), 4);
  std::memcpy(ip + 16, ends.destination.data(), 4);
  const std::uint16_t sum = finish_sum(add_to_sum(0, ip, kIpv4Header));
  std::memcpy(ip + 10, &sum, sizeof sum);
  return ip + kIpv4Header;
}

std::uint8_t* write_ipv6(std::uint8_t* ip, const IpEnds& ends, std::size_t total) {
  store_be<std::uint32_t>(ip, 6U << 28);
  store_be<std::uint16_t>(ip + 4, static_cast<std::uint16_t>(total - kIpv6Header));
  store_be<std::uint16_t>(ip + 6, kProtocolTcp << 8 | kTtl);
  std::memcpy(ip + 8, ends.source.data(), 16);
  std::memcpy(ip + 24, ends.destination.data(), 16);
  return ip + kIpv6Header;
}

}  // namespace

IpEnds ends_of(const FlowKey& key, Side out) {
  if (out == Side::kServer) {
    return {key.client, key.server, key.client_port, key.server_port, key.ipv6};
  }
  return {key.server, key.client, key.server_port, key.client_port, key.ipv6};
}

std::size_t tcp_packet_size(bool ipv6, const TcpReply& reply) {
  return (ipv6 ? kIpv6Header : kIpv4Header) + kTcpHeader + options_size(reply);
}

std::size_t write_tcp_packet(std::uint8_t* l3, const IpEnds& ends, const TcpReply& reply) {
  const std::size_t total = tcp_packet_size(ends.ipv6, reply);
  std::uint8_t* tcp = ends.ipv6 ? write_ipv6(l3, ends, total) : write_ipv4(l3, ends, total);
  const auto length = static_cast<std::uint32_t>(l3 + total - tcp);
  store_be<std::uint16_t>(tcp, ends.source_port);
  store_be<std::uint16_t>(tcp + 2, ends.destination_port);
  store_be<std::uint32_t>(tcp + 4, reply.seq.value());
  store_be<std::uint32_t>(tcp + 8, reply.ack.value());
  store_be<std::uint16_t>(tcp + 12, static_cast<std::uint16_t>(length / 4 << 12 | reply.flags));
  store_be<std::uint16_t>(tcp + 14, reply.window);
  std::memset(tcp + 16, 0, 4);  // checksum and urgent pointer
  write_options(tcp + kTcpHeader, reply);
  const std::uint64_t pseudo =
      pseudo_header_sum(l3 + (ends.ipv6 ? 8 : 12), ends.ipv6, kProtocolTcp, length);
  const std::uint16_t sum = finish_sum(add_to_sum(pseudo, tcp, length));
  std::memcpy(tcp + 16, &sum, sizeof sum);
  return total;
}

bool reply_in_place(Packet& packet, const Segment& segment, const TcpReply& reply) {
  const std::size_t total = segment.l3_offset + tcp_packet_size(segment.ipv6, reply);
  if (total > packet.room) return false;
  IpEnds ends;
  const std::size_t address = segment.ipv6 ? 16 : 4;
  std::memcpy(ends.source.data(), segment.destination(), address);
  std::memcpy(ends.destination.data(), segment.source(), address);
  ends.source_port = segment.destination_port;
  ends.destination_port = segment.source_port;
  ends.ipv6 = segment.ipv6;
  std::uint8_t mac[6];
  std::memcpy(mac, packet.data, 6);
  std::memcpy(packet.data, packet.data + 6, 6);
  std::memcpy(packet.data + 6, mac, 6);
  write_tcp_packet(packet.data + segment.l3_offset, ends, reply);
  packet.length = static_cast<std::uint32_t>(total);
  return true;
}

}  // namespace synproxy
