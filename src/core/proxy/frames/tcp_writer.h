// SPDX-License-Identifier: BSD-3-Clause
// Writing the headers of a segment that the proxy makes itself, checksums and all, in one pass.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "synproxy/proxy/reply.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// IPv4: identification 0 and DF in one word.
inline constexpr std::uint32_t kDontFragment = 0x4000U;
inline constexpr std::uint32_t kReplyTtl = 64;

[[nodiscard]] inline std::uint32_t reply_options_size(const TcpReply& r) {
  return (r.mss != 0 ? 4U : 0U) + (r.timestamps ? 12U : 0U) +
         (r.sack_permitted && !r.timestamps ? 4U : 0U) + (r.window_scale != 15 ? 4U : 0U);
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
  [[nodiscard]] std::uint16_t checksum() const { return finish_sum(sum_); }

 private:
  std::uint8_t* at_;
  std::uint64_t sum_;
};

inline void write_options(SummedBytes& out, const TcpReply& r) {
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
struct RawEnds {
  RawAddress<kIpv6> source;
  RawAddress<kIpv6> destination;
  std::uint32_t ports;  // source high, destination low, host order
};

// `addresses`: the sum of both; `length`: of the TCP part, bytes.
template <bool kIpv6>
inline void write_ip_header(std::uint8_t* l3, const RawEnds<kIpv6>& ends, std::uint64_t addresses,
                            std::uint32_t length) {
  if constexpr (kIpv6) {
    store_be<std::uint32_t>(l3, 6U << 28);
    store_be<std::uint32_t>(l3 + 4, length << 16 | std::uint32_t{kProtocolTcp} << 8 | kReplyTtl);
    ends.source.store(l3 + 8);
    ends.destination.store(l3 + 24);
  } else {
    SummedBytes ip(l3, addresses);
    ip.put(0x45000000U | (static_cast<std::uint32_t>(kIpv4Header) + length));
    ip.put(kDontFragment);
    ip.put(kReplyTtl << 24 | std::uint32_t{kProtocolTcp} << 16);
    const std::uint16_t sum = ip.checksum();
    std::memcpy(l3 + 10, &sum, sizeof sum);
    ends.source.store(l3 + 12);
    ends.destination.store(l3 + 16);
  }
}

// Returns the size of the packet.
template <bool kIpv6>
inline std::uint32_t write_headers(std::uint8_t* l3, const RawEnds<kIpv6>& ends,
                                   const TcpReply& reply) {
  constexpr std::uint32_t kIpHeader = kIpv6 ? kIpv6Header : kIpv4Header;
  const std::uint32_t length = kTcpHeader + reply_options_size(reply);
  const std::uint32_t total = kIpHeader + length;
  const std::uint64_t addresses = ends.source.sum() + ends.destination.sum();
  write_ip_header<kIpv6>(l3, ends, addresses, length);
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

inline void swap_mac_addresses(std::uint8_t* frame) {
  const auto first = load_raw<std::uint64_t>(frame);
  const auto last = load_raw<std::uint32_t>(frame + 8);
  const std::uint64_t swapped = first >> 48 | std::uint64_t{last} << 16 | first << 48;
  const auto rest = static_cast<std::uint32_t>(first >> 16);
  std::memcpy(frame, &swapped, sizeof swapped);
  std::memcpy(frame + 8, &rest, sizeof rest);
}

// The frame of `s` becomes `reply`, its ends the other way round.
template <bool kIpv6>
inline bool answer_in_place(Packet& packet, const Segment& s, const TcpReply& reply) {
  constexpr std::uint32_t kIpHeader = kIpv6 ? kIpv6Header : kIpv4Header;
  if (s.l3_offset + kIpHeader + kTcpHeader + reply_options_size(reply) > packet.room) return false;
  std::uint8_t* l3 = s.l3();
  constexpr std::size_t kSource = kIpv6 ? 8 : 12;
  constexpr std::size_t kDestination = kIpv6 ? 24 : 16;
  const RawEnds<kIpv6> ends{RawAddress<kIpv6>(l3 + kDestination), RawAddress<kIpv6>(l3 + kSource),
                            s.ports.host() << 16 | s.ports.host() >> 16};
  swap_mac_addresses(s.frame);
  packet.length = s.l3_offset + write_headers<kIpv6>(l3, ends, reply);
  return true;
}

}  // namespace synproxy
