// SPDX-License-Identifier: BSD-3-Clause
// The usual frame: untagged, IPv4 without options, no fragment, TCP, and lengths that fit. Nearly
// every frame is one, so all code that looks at frames has a fast path for it. Only this file
// defines what it is.
#pragma once

#include "synproxy/wire/headers.h"
#include "synproxy/wire/pattern.h"

namespace synproxy {

// Offsets in a usual frame, from its start.
namespace usual_at {
inline constexpr std::size_t kIp = kEthernetHeader;
inline constexpr std::size_t kTotalLength = kIp + ipv4_at::kTotalLength;
inline constexpr std::size_t kSource = kIp + ipv4_at::kSource;
inline constexpr std::size_t kTcp = kIp + kIpv4Header;
inline constexpr std::size_t kPorts = kTcp + tcp_at::kPorts;
inline constexpr std::size_t kOffsetAndFlags = kTcp + tcp_at::kOffsetAndFlags;
inline constexpr std::size_t kOptions = kTcp + tcp_at::kOptions;
}  // namespace usual_at

// Bytes of the shortest usual frame: its headers.
inline constexpr std::size_t kUsualHeaders = usual_at::kOptions;

// Everything that makes a frame usual, except the lengths.
inline constexpr BytePattern<usual_at::kTcp> kUsualFrame = [] {
  BytePattern<usual_at::kTcp> p;
  p.fix(ether_at::kType, kEtherTypeIpv4);
  p.fix(usual_at::kIp + ipv4_at::kVersionAndLength, kIpv4WithoutOptions);
  p.fix(usual_at::kIp + ipv4_at::kFragment, std::uint16_t{0}, kFragmented);  // DF does not matter
  p.fix(usual_at::kIp + ipv4_at::kProtocol, kProtocolTcp);
  return p;
}();

[[nodiscard]] constexpr bool has_usual_length(std::size_t frame) {
  return frame >= kUsualHeaders && frame <= kMaxFrame;
}

// 0: `frame`, of at least kUsualHeaders bytes, looks like a usual frame. Its lengths are not
// checked.
[[nodiscard]] inline std::uint64_t difference_from_usual(const std::uint8_t* frame) {
  constexpr std::size_t kFirst = ether_at::kType;
  constexpr std::size_t kSecond = usual_at::kIp + ipv4_at::kFragment;
  static_assert(kFirst + 8 == kSecond);
  constexpr auto kTypeToId = kUsualFrame.word<std::uint64_t>(kFirst);
  constexpr auto kFragmentToProtocol = kUsualFrame.word<std::uint32_t>(kSecond);
  return kTypeToId.difference(load_raw<std::uint64_t>(frame + kFirst)) |
         kFragmentToProtocol.difference(load_raw<std::uint32_t>(frame + kSecond));
}

// `total`: the IP length. `tcp_header`: the length of the TCP header. `frame`: bytes that were
// received.
[[nodiscard]] constexpr bool usual_lengths_fit(std::size_t total, std::size_t tcp_header,
                                               std::size_t frame) {
  return total <= frame - usual_at::kIp && tcp_header >= kTcpHeader &&
         total >= kIpv4Header + tcp_header;
}

// Whether both MAC addresses name single stations, not groups.
[[nodiscard]] inline bool is_unicast(const std::uint8_t* frame) {
  return ((frame[ether_at::kDestination] | frame[ether_at::kSource]) & kGroupAddress) == 0;
}

}  // namespace synproxy
