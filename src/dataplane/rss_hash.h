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

// Frames whose addresses and ports every device hashes: untagged TCP, without IP options or
// extension headers, not fragmented.
enum class PlainTcp : std::uint8_t { kNo, kIpv4, kIpv6 };

[[nodiscard]] inline PlainTcp plain_tcp(const std::uint8_t* frame, std::uint32_t length) {
  constexpr std::uint32_t kIpv4Frame = kEthernetHeader + kIpv4Header + kTcpHeader;
  constexpr std::uint32_t kIpv6Frame = kEthernetHeader + kIpv6Header + kTcpHeader;
  if (length < kIpv4Frame) return PlainTcp::kNo;
  const auto type = load_be<std::uint16_t>(frame + 12);
  if (type == kEtherTypeIpv4) [[likely]] {
    // Version and header length; no "more fragments", and a fragment offset of 0.
    return frame[14] == 0x45 && (load_be<std::uint16_t>(frame + 20) & 0x3fffU) == 0 &&
                   frame[23] == kProtocolTcp
               ? PlainTcp::kIpv4
               : PlainTcp::kNo;
  }
  return type == kEtherTypeIpv6 && length >= kIpv6Frame && frame[14] >> 4 == 6 &&
                 frame[20] == kProtocolTcp
             ? PlainTcp::kIpv6
             : PlainTcp::kNo;
}

// `family` is what plain_tcp() said of the frame, and is not kNo.
[[nodiscard]] inline RssFold fold_of(const std::uint8_t* frame, PlainTcp family) {
  if (family == PlainTcp::kIpv4) [[likely]] {
    return detail::fold(detail::halve(load_raw<std::uint64_t>(frame + 26)) ^
                        load_raw<std::uint32_t>(frame + 34));
  }
  std::uint64_t addresses = 0;
  for (const std::uint32_t at : {22U, 30U, 38U, 46U}) {
    addresses ^= load_raw<std::uint64_t>(frame + at);
  }
  return detail::fold(detail::halve(addresses) ^ load_raw<std::uint32_t>(frame + 54));
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
