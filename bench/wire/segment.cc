// SPDX-License-Identifier: BSD-3-Clause
#include "segment.h"

#include <rte_ip.h>

#include <cstring>

#include "synproxy/wire/bytes.h"

namespace synproxy::generator {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kIpv6 = 0x86dd;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint16_t kWindow = 64240;

void write_ethernet(std::uint8_t* at, Towards towards, bool ipv6) {
  const bool up = towards == Towards::kServer;
  std::memcpy(at, (up ? kServerMac : kClientMac).data(), 6);
  std::memcpy(at + 6, (up ? kClientMac : kServerMac).data(), 6);
  store_be<std::uint16_t>(at + 12, ipv6 ? kIpv6 : kIpv4);
}

void write_client(std::uint8_t* at, const Tuple& client, bool ipv6) {
  if (ipv6) {
    std::memcpy(at, kClientNet6.data(), kClientNet6.size());
    store_be<std::uint64_t>(at + 8, client.address);
  } else {
    store_be<std::uint32_t>(at, static_cast<std::uint32_t>(client.address));
  }
}

void write_server(std::uint8_t* at, bool ipv6) {
  std::memcpy(at, ipv6 ? kServer6.data() : kServer4.data(), ipv6 ? 16 : 4);
}

void write_ip(std::uint8_t* ip, const Outgoing& s, std::size_t tcp_length) {
  const bool up = s.towards == Towards::kServer;
  const std::size_t size = s.ipv6 ? 16 : 4;
  std::uint8_t* source = ip + (s.ipv6 ? 8 : 12);
  if (s.ipv6) {
    store_be<std::uint32_t>(ip, 6U << 28);
    store_be<std::uint16_t>(ip + 4, static_cast<std::uint16_t>(tcp_length));
    ip[6] = kTcp;
    ip[7] = kTtl;
  } else {
    std::memset(ip, 0, 12);
    ip[0] = 0x45;
    store_be<std::uint16_t>(ip + 2, static_cast<std::uint16_t>(20 + tcp_length));
    store_be<std::uint16_t>(ip + 6, 0x4000);  // don't fragment
    ip[8] = kTtl;
    ip[9] = kTcp;
  }
  write_client(up ? source : source + size, s.client, s.ipv6);
  write_server(up ? source + size : source, s.ipv6);
  if (!s.ipv6) {
    const std::uint16_t sum = rte_ipv4_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip));
    std::memcpy(ip + 10, &sum, sizeof sum);
  }
}

std::size_t write_options(std::uint8_t* const begin, const Outgoing& s) {
  std::uint8_t* at = begin;
  const auto put = [&at](std::uint32_t word) {
    store_be(at, word);
    at += sizeof word;
  };
  if (s.offer == nullptr) {
    if (!s.timestamps) return 0;
    put(0x0101080a);
    put(s.tsval);
    put(s.tsecr);
    return 12;
  }
  put(0x02040000U | mss_of(s.ipv6));
  if (s.offer->timestamps) {
    put(s.offer->sack ? 0x0402080a : 0x0101080a);
    put(s.tsval);
    put(s.tsecr);
  } else if (s.offer->sack) {
    put(0x01010402);
  }
  if (s.offer->window_scaling) put(0x01030300U | s.offer->window_scale);
  return static_cast<std::size_t>(at - begin);
}

std::uint16_t pseudo_header_sum(const std::uint8_t* ip, bool ipv6) {
  return ipv6 ? rte_ipv6_phdr_cksum(reinterpret_cast<const rte_ipv6_hdr*>(ip), 0)
              : rte_ipv4_phdr_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip), 0);
}

Fault read_ip(std::span<const std::uint8_t> frame, Towards towards, Incoming& out) {
  const std::uint8_t* ip = frame.data() + kEthernet;
  const std::size_t length = frame.size() - kEthernet;
  const bool up = towards == Towards::kServer;
  if (out.ipv6) {
    if ((ip[0] >> 4) != 6 || load_be<std::uint16_t>(ip + 4) != length - 40) return Fault::ip_header;
    if (ip[6] != kTcp) return Fault::not_tcp;
    if (ip[7] != kTtl) return Fault::ttl;
    const std::uint8_t* client = ip + (up ? 8 : 24);
    const std::uint8_t* server = ip + (up ? 24 : 8);
    if (std::memcmp(server, kServer6.data(), 16) != 0 ||
        std::memcmp(client, kClientNet6.data(), 8) != 0) {
      return Fault::address;
    }
    out.client.address = load_be<std::uint64_t>(client + 8);
  } else {
    if (ip[0] != 0x45 || load_be<std::uint16_t>(ip + 2) != length ||
        (load_be<std::uint16_t>(ip + 6) & 0x3fffU) != 0) {
      return Fault::ip_header;
    }
    if (ip[9] != kTcp) return Fault::not_tcp;
    if (ip[8] != kTtl) return Fault::ttl;
    if (std::memcmp(ip + (up ? 16 : 12), kServer4.data(), 4) != 0) return Fault::address;
    out.client.address = load_be<std::uint32_t>(ip + (up ? 12 : 16));
  }
  out.ip = {ip, length};
  return Fault::none;
}

}  // namespace

Payload::Payload(std::size_t length) : bytes(length) {
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::uint8_t>('a' + i % 26);
  sum = rte_raw_cksum(bytes.data(), bytes.size());
}

std::uint16_t write_segment(std::uint8_t* at, const Outgoing& s) {
  std::uint8_t* ip = at + kEthernet;
  std::uint8_t* tcp = ip + ip_header(s.ipv6);
  const std::size_t header = kTcpHeader + write_options(tcp + kTcpHeader, s);
  const std::size_t data = s.payload != nullptr ? s.payload->bytes.size() : 0;
  write_ethernet(at, s.towards, s.ipv6);
  write_ip(ip, s, header + data);
  const bool up = s.towards == Towards::kServer;
  store_be<std::uint16_t>(tcp, up ? s.client.port : kServerPort);
  store_be<std::uint16_t>(tcp + 2, up ? kServerPort : s.client.port);
  store_be(tcp + 4, s.seq);
  store_be(tcp + 8, s.ack);
  tcp[12] = static_cast<std::uint8_t>(header / 4 << 4);
  tcp[13] = s.flags;
  store_be(tcp + 14, kWindow);
  std::memset(tcp + 16, 0, 4);
  std::uint32_t sum = std::uint32_t{pseudo_header_sum(ip, s.ipv6)} + rte_raw_cksum(tcp, header);
  if (data != 0) {
    std::memcpy(tcp + header, s.payload->bytes.data(), data);
    sum += s.payload->sum;
  }
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  const auto checksum = static_cast<std::uint16_t>(~sum);
  std::memcpy(tcp + 16, &checksum, sizeof checksum);
  return static_cast<std::uint16_t>(kEthernet + ip_header(s.ipv6) + header + data);
}

Fault read_segment(std::span<const std::uint8_t> frame, Towards towards, Incoming& out) {
  if (frame.size() < kEthernet + 20 + kTcpHeader) return Fault::not_tcp;
  const auto type = load_be<std::uint16_t>(frame.data() + 12);
  out.ipv6 = type == kIpv6;
  if (type != kIpv4 && !(out.ipv6 && frame.size() >= kEthernet + 40 + kTcpHeader)) {
    return Fault::not_tcp;
  }
  if (const Fault f = read_ip(frame, towards, out); f != Fault::none) return f;
  const std::uint8_t* tcp = out.ip.data() + ip_header(out.ipv6);
  const std::size_t length = out.ip.size() - ip_header(out.ipv6);
  const std::size_t header = std::size_t{tcp[12]} >> 4 << 2;
  if (header < kTcpHeader || header > length) return Fault::tcp_header;
  const bool up = towards == Towards::kServer;
  out.client.port = load_be<std::uint16_t>(tcp + (up ? 0 : 2));
  if (load_be<std::uint16_t>(tcp + (up ? 2 : 0)) != kServerPort) return Fault::address;
  out.seq = load_be<std::uint32_t>(tcp + 4);
  out.ack = load_be<std::uint32_t>(tcp + 8);
  out.flags = tcp[13];
  out.options = {tcp + kTcpHeader, header - kTcpHeader};
  out.payload = {tcp + header, length - header};
  return Fault::none;
}

Options read_options(std::span<const std::uint8_t> bytes) {
  Options o;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint8_t kind = bytes[at];
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    const std::size_t left = bytes.size() - at;
    const std::size_t length = left > 1 ? bytes[at + 1] : 0U;
    if (length < 2 || length > left) {
      o.malformed = true;
      break;
    }
    const std::uint8_t* value = bytes.data() + at + 2;
    if (kind == 2 && length == 4) {
      o.has_mss = true;
      o.mss = load_be<std::uint16_t>(value);
    } else if (kind == 3 && length == 3) {
      o.has_window_scale = true;
      o.window_scale = *value;
    } else if (kind == 4 && length == 2) {
      o.sack_permitted = true;
    } else if (kind == 8 && length == 10) {
      o.timestamps = true;
      o.tsval = load_be<std::uint32_t>(value);
      o.tsecr = load_be<std::uint32_t>(value + 4);
    } else {
      o.unknown = true;
    }
    at += length;
  }
  return o;
}

}  // namespace synproxy::generator
