// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/reply.h"

#include <array>
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

// Stores words and sums them on the way: a sum over bytes that were just stored in other sizes
// would have to wait for them to reach the cache.
class SummedBytes {
 public:
  SummedBytes(std::uint8_t* at, std::uint64_t sum) : at_(at), sum_(sum) {}
  void put(std::uint32_t host) { put_raw(be32(host).raw()); }
  void put_raw(std::uint32_t raw) {
    std::memcpy(at_, &raw, sizeof raw);
    at_ += sizeof raw;
    sum_ += raw;  // a header has few enough words for 64 bits
  }
  [[nodiscard]] std::uint8_t* at() const { return at_; }
  [[nodiscard]] std::uint16_t checksum() const { return finish_sum(sum_); }

 private:
  std::uint8_t* at_;
  std::uint64_t sum_;
};

void write_options(SummedBytes& out, const TcpReply& r) {
  if (r.mss != 0) out.put(0x02040000U | r.mss);
  if (r.timestamps) {
    out.put(r.sack_permitted ? 0x0402080aU : 0x0101080aU);
    out.put(r.tsval);
    out.put(r.tsecr);
  } else if (r.sack_permitted) {
    out.put(0x01010402U);
  }
  if (r.window_scale != 15) out.put(0x01030300U | r.window_scale);
}

// An IPv4 or IPv6 address as it lies in a packet.
template <bool kIpv6>
struct RawAddress {
  std::array<std::uint32_t, kIpv6 ? 4 : 1> words;

  explicit RawAddress(const std::uint8_t* from) { std::memcpy(words.data(), from, sizeof words); }
  void store(std::uint8_t* to) const { std::memcpy(to, words.data(), sizeof words); }
  [[nodiscard]] std::uint64_t sum() const {
    std::uint64_t total = 0;
    for (const std::uint32_t w : words) total += w;
    return total;
  }
};

template <bool kIpv6>
struct Ends {
  RawAddress<kIpv6> source;
  RawAddress<kIpv6> destination;
  std::uint32_t ports;  // source high, destination low, host order
};

template <bool kIpv6>
std::size_t write_packet(std::uint8_t* l3, const Ends<kIpv6>& ends, const TcpReply& reply) {
  constexpr std::size_t kIpHeader = kIpv6 ? kIpv6Header : kIpv4Header;
  const auto length = static_cast<std::uint32_t>(kTcpHeader + options_size(reply));
  const auto total = static_cast<std::uint32_t>(kIpHeader + length);
  const std::uint64_t addresses = ends.source.sum() + ends.destination.sum();
  if constexpr (kIpv6) {
    store_be<std::uint32_t>(l3, 6U << 28);
    store_be<std::uint32_t>(l3 + 4, length << 16 | std::uint32_t{kProtocolTcp} << 8 | kTtl);
    ends.source.store(l3 + 8);
    ends.destination.store(l3 + 24);
  } else {
    SummedBytes ip(l3, addresses);
    ip.put(0x45000000U | total);
    ip.put(kDontFragment);
    ip.put(std::uint32_t{kTtl} << 24 | std::uint32_t{kProtocolTcp} << 16);
    const std::uint16_t sum = ip.checksum();
    std::memcpy(l3 + 10, &sum, sizeof sum);
    ends.source.store(l3 + 12);
    ends.destination.store(l3 + 16);
  }
  std::uint8_t* tcp = l3 + kIpHeader;
  SummedBytes out(tcp, addresses + be32(kProtocolTcp + length).raw());
  out.put(ends.ports);
  out.put(reply.seq.value());
  out.put(reply.ack.value());
  out.put((length / 4 << 12 | reply.flags) << 16 | reply.window);
  out.put(0);  // checksum and urgent pointer
  write_options(out, reply);
  const std::uint16_t sum = out.checksum();
  std::memcpy(tcp + 16, &sum, sizeof sum);
  return total;
}

// The ends of `s` the other way round.
template <bool kIpv6>
std::size_t answer_in_place(std::uint8_t* l3, const Segment& s, const TcpReply& reply) {
  const Ends<kIpv6> ends{RawAddress<kIpv6>(s.destination()), RawAddress<kIpv6>(s.source()),
                         std::uint32_t{s.destination_port} << 16 | s.source_port};
  return write_packet<kIpv6>(l3, ends, reply);
}

template <bool kIpv6>
std::size_t write_from(std::uint8_t* l3, const IpEnds& e, const TcpReply& reply) {
  const Ends<kIpv6> ends{RawAddress<kIpv6>(e.source.data()),
                         RawAddress<kIpv6>(e.destination.data()),
                         std::uint32_t{e.source_port} << 16 | e.destination_port};
  return write_packet<kIpv6>(l3, ends, reply);
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
  return ends.ipv6 ? write_from<true>(l3, ends, reply) : write_from<false>(l3, ends, reply);
}

bool reply_in_place(Packet& packet, const Segment& segment, const TcpReply& reply) {
  const std::size_t total = segment.l3_offset + tcp_packet_size(segment.ipv6, reply);
  if (total > packet.room) return false;
  std::array<std::uint8_t, 6> mac;
  std::memcpy(mac.data(), packet.data, mac.size());
  std::memcpy(packet.data, packet.data + 6, mac.size());
  std::memcpy(packet.data + 6, mac.data(), mac.size());
  std::uint8_t* l3 = packet.data + segment.l3_offset;
  if (segment.ipv6) {
    answer_in_place<true>(l3, segment, reply);
  } else {
    answer_in_place<false>(l3, segment, reply);
  }
  packet.length = static_cast<std::uint32_t>(total);
  return true;
}

}  // namespace synproxy
