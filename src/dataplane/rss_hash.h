// SPDX-License-Identifier: BSD-3-Clause
// Computes what a device's RSS makes of a connection (theory: rss.h).
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "dataplane/rss.h"
#include "synproxy/flow/key.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"

namespace synproxy::dataplane {

static_assert(std::endian::native == std::endian::little, "RssHash::of() assumes it");

// The exclusive or of all 16-bit words of a tuple, as they lie in the packet.
using RssFold = std::uint16_t;

namespace detail {
[[nodiscard]] constexpr RssFold fold(std::uint32_t x) { return static_cast<RssFold>(x ^ x >> 16); }
[[nodiscard]] constexpr std::uint32_t halve(std::uint64_t x) {
  return static_cast<std::uint32_t>(x ^ x >> 32);
}
}  // namespace detail

[[nodiscard]] inline RssFold fold_of(const FlowKey& key) {
  std::uint64_t addresses = 0;  // zeros follow IPv4 addresses
  for (const AddressBytes* a : {&key.client, &key.server}) {
    addresses ^= load_raw<std::uint64_t>(a->data()) ^ load_raw<std::uint64_t>(a->data() + 8);
  }
  const unsigned ports = be16(key.client_port).raw() ^ be16(key.server_port).raw();
  return static_cast<RssFold>(detail::fold(detail::halve(addresses)) ^ ports);
}

// The frames of which every device takes addresses and ports: untagged TCP, without IP options or
// extension headers, no fragment. Their lengths need not fit.
enum class PlainTcp : std::uint8_t { kNo, kIpv4, kIpv6 };

namespace detail {
inline constexpr std::size_t kIpv6Tcp = kEthernetHeader + kIpv6Header;
}

[[nodiscard]] inline PlainTcp plain_tcp(const std::uint8_t* frame, std::uint32_t length) {
  if (length < kUsualHeaders) return PlainTcp::kNo;
  if (difference_from_usual(frame) == 0) [[likely]] {
    return PlainTcp::kIpv4;
  }
  const std::uint8_t* ip = frame + kEthernetHeader;
  return load_be<std::uint16_t>(frame + ether_at::kType) == kEtherTypeIpv6 &&
                 length >= detail::kIpv6Tcp + kTcpHeader && ip[ipv6_at::kVersion] >> 4 == 6 &&
                 ip[ipv6_at::kNextHeader] == kProtocolTcp
             ? PlainTcp::kIpv6
             : PlainTcp::kNo;
}

// `family` is what plain_tcp() said of the frame, and is not kNo.
[[nodiscard]] inline RssFold fold_of(const std::uint8_t* frame, PlainTcp family) {
  if (family == PlainTcp::kIpv4) [[likely]] {
    return detail::fold(detail::halve(load_raw<std::uint64_t>(frame + usual_at::kSource)) ^
                        load_raw<std::uint32_t>(frame + usual_at::kPorts));
  }
  std::uint64_t addresses = 0;
  for (std::size_t at = kEthernetHeader + ipv6_at::kSource; at < detail::kIpv6Tcp; at += 8) {
    addresses ^= load_raw<std::uint64_t>(frame + at);
  }
  return detail::fold(detail::halve(addresses) ^
                      load_raw<std::uint32_t>(frame + detail::kIpv6Tcp + tcp_at::kPorts));
}

class RssHash {
 public:
  explicit RssHash(RssWord word);
  // The Toeplitz hash. Its halves are equal because the key repeats itself.
  [[nodiscard]] std::uint32_t of(RssFold fold) const {
    const std::uint32_t half = first_[fold & 0xffU] ^ std::uint32_t{second_[fold >> 8]};
    return half << 16 | half;
  }

 private:
  // What each value of the first and of the second byte adds, in the packet's order.
  std::array<std::uint16_t, 256> first_{};
  std::array<std::uint16_t, 256> second_{};
};

}  // namespace synproxy::dataplane
