// SPDX-License-Identifier: BSD-3-Clause
// Writes the headers of a segment that the proxy makes itself, checksums included, in one pass.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "synproxy/proxy/link_header.h"
#include "synproxy/proxy/reply.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// The header words of such a segment, in host order. TOS and TTL are still 0 in them.
[[nodiscard]] constexpr std::uint32_t ipv4_length_word(std::uint32_t total) {
  return std::uint32_t{kIpv4WithoutOptions} << 24 | total;
}
inline constexpr std::uint32_t kIpv4FragmentWord = kDontFragment;  // identification 0
inline constexpr std::uint32_t kIpv4ProtocolWord = std::uint32_t{kProtocolTcp} << 16;  // checksum 0
[[nodiscard]] constexpr std::uint32_t tcp_flags_word(std::uint32_t tcp, std::uint32_t flags,
                                                     std::uint32_t window) {
  return std::uint32_t{tcp_offset_and_flags(tcp, flags)} << 16 | window;
}

[[nodiscard]] constexpr OptionSet said_in(const TcpReply& r) {
  return option_set(r.mss != 0, r.timestamps, r.sack_permitted, r.window_scale != kNoScale);
}

// Stores words and sums them on the way. A sum over bytes that were just stored in other sizes
// would have to wait until they reach the cache.
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

template <typename Says>
inline void write_options(SummedBytes& out, const TcpReply& r, Says says) {
  lay_out_options(says, [&](OptionWord w) {
    const std::uint32_t fixed = form_of(w).fixed;
    switch (w) {
      case OptionWord::kMss:
        return out.put(fixed | r.mss);
      case OptionWord::kNopAndScale:
        return out.put(fixed | r.window_scale);
      case OptionWord::kTsval:
        return out.put(r.tsval);
      case OptionWord::kTsecr:
        return out.put(r.tsecr);
      default:
        return out.put(fixed);
    }
  });
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
  be32 ports;  // source first
};

// The ends of the answer to a segment: its own, swapped.
template <bool kIpv6>
[[nodiscard]] inline RawEnds<kIpv6> ends_of_answer(const Segment& s) {
  const std::uint8_t* l3 = s.l3();
  return {RawAddress<kIpv6>(l3 + ip_destination_at(kIpv6)),
          RawAddress<kIpv6>(l3 + ip_source_at(kIpv6)),
          be32::from_raw(std::rotl(s.ports.raw(), 16))};
}

// `addresses`: the sum of both addresses. `length`: bytes of the TCP part.
template <bool kIpv6>
inline void write_ip_header(std::uint8_t* l3, const RawEnds<kIpv6>& ends, std::uint64_t addresses,
                            std::uint32_t length, const IpLook& look) {
  if constexpr (kIpv6) {
    const std::uint32_t first = be32(6U << 28).raw() | look.first.raw();
    std::memcpy(l3 + ipv6_at::kVersion, &first, sizeof first);
    store_be<std::uint32_t>(l3 + ipv6_at::kPayloadLength,
                            length << 16 | std::uint32_t{kProtocolTcp} << 8 | look.ttl);
  } else {
    SummedBytes ip(l3, addresses);
    ip.put_raw(be32(ipv4_length_word(static_cast<std::uint32_t>(kIpv4Header) + length)).raw() |
               look.first.raw());
    ip.put(kIpv4FragmentWord);
    ip.put(kIpv4ProtocolWord | std::uint32_t{look.ttl} << 24);
    const std::uint16_t sum = ip.checksum();
    std::memcpy(l3 + ipv4_at::kChecksum, &sum, sizeof sum);
  }
  ends.source.store(l3 + ip_source_at(kIpv6));
  ends.destination.store(l3 + ip_destination_at(kIpv6));
}

// Returns the size of the packet. `says`: said_in(reply), as a value or as a compile-time constant.
template <bool kIpv6, typename Says>
inline std::uint32_t write_headers(std::uint8_t* l3, const RawEnds<kIpv6>& ends,
                                   const TcpReply& reply, const IpLook& look, Says says) {
  constexpr std::uint32_t kIpHeader = ip_header_size(kIpv6);
  const std::uint32_t length = kTcpHeader + written_size(says);
  const std::uint32_t total = kIpHeader + length;
  const std::uint64_t addresses = ends.source.sum() + ends.destination.sum();
  write_ip_header<kIpv6>(l3, ends, addresses, length, look);
  std::uint8_t* tcp = l3 + kIpHeader;
  SummedBytes out(tcp, addresses + be32(kProtocolTcp + length).raw());
  out.put_raw(ends.ports.raw());
  out.put(reply.seq.value());
  out.put(reply.ack.value());
  out.put(tcp_flags_word(length, reply.flags, reply.window));
  out.put(0);  // checksum and urgent pointer
  write_options(out, reply, says);
  const std::uint16_t sum = out.checksum();
  std::memcpy(tcp + tcp_at::kChecksum, &sum, sizeof sum);
  return total;
}

// A frame to a group is answered from a single station.
inline void swap_mac_addresses(std::uint8_t* frame) {
  const auto first = load_raw<std::uint64_t>(frame);
  const auto last = load_raw<std::uint32_t>(frame + 8);
  const std::uint64_t swapped = first >> 48 | std::uint64_t{last} << 16 | first << 48;
  const auto rest = static_cast<std::uint32_t>(first >> 16);
  std::memcpy(frame, &swapped, sizeof swapped);
  std::memcpy(frame + 8, &rest, sizeof rest);
  if ((first & kGroupAddress) != 0) [[unlikely]]
    make_single_station(frame + ether_at::kSource);
}

// Turns the frame of `s` into `reply`, with its ends swapped. False: no room; nothing was written.
// `says`: as above.
template <bool kIpv6, typename Says>
[[nodiscard]] inline bool answer_in_place(Packet& packet, const Segment& s, const TcpReply& reply,
                                          const IpLook& look, Says says) {
  const std::uint32_t packet_size = ip_header_size(kIpv6) + kTcpHeader + written_size(says);
  if (s.l3_offset + packet_size > packet.room) return false;
  const RawEnds<kIpv6> ends = ends_of_answer<kIpv6>(s);
  swap_mac_addresses(s.frame);
  packet.length = s.l3_offset + write_headers<kIpv6>(s.l3(), ends, reply, look, says);
  packet.checksum = ChecksumHint::kGood;
  return true;
}

}  // namespace synproxy
