// SPDX-License-Identifier: BSD-3-Clause
// TCP options (RFC 9293 section 3.1): a walk that cannot leave the header, and what a handshake
// needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"

namespace synproxy {

inline constexpr std::uint8_t kOptionEnd = 0;
inline constexpr std::uint8_t kOptionNop = 1;
inline constexpr std::uint8_t kOptionMss = 2;            // 4 bytes
inline constexpr std::uint8_t kOptionWindowScale = 3;    // 3 bytes, RFC 7323 section 2.2
inline constexpr std::uint8_t kOptionSackPermitted = 4;  // 2 bytes, RFC 2018 section 2
inline constexpr std::uint8_t kOptionSack = 5;           // 2 + 8 n bytes, RFC 2018 section 3
inline constexpr std::uint8_t kOptionTimestamps = 8;     // 10 bytes, RFC 7323 section 3.2
inline constexpr std::uint8_t kOptionMd5 = 19;           // 18 bytes, RFC 2385
inline constexpr std::uint8_t kOptionAo = 29;            // at least 4 bytes, RFC 5925 section 2.2
inline constexpr std::size_t kMaxOptionBytes = 40;

// RFC 9293 section 3.7.1: what a missing MSS option means, bytes.
[[nodiscard]] constexpr std::uint16_t default_mss(bool ipv6) { return ipv6 ? 1220 : 536; }

// Calls visit(kind, offset, length) for each option but NOP, `offset` and `length` covering kind
// and length byte. Returns false when the list is malformed: a length below 2, or past the end;
// what came before has been visited. Ends at END, at the last byte, or when `visit` returns false.
template <typename Visitor>
inline bool walk_options(const std::uint8_t* options, std::size_t size, Visitor&& visit) {
  std::size_t at = 0;
  while (at < size) {
    const std::uint8_t kind = options[at];
    if (kind == kOptionEnd) return true;
    if (kind == kOptionNop) {
      ++at;
      continue;
    }
    if (size - at < 2) return false;
    const std::size_t length = options[at + 1];
    if (length < 2 || length > size - at) return false;
    if (!visit(kind, at, length)) return true;
    at += length;
  }
  return true;
}

// What the options of a SYN or of any segment say. Options of a wrong length are ignored, the last
// one of a kind counts, and what stands before a malformed one counts: so does Linux.
struct TcpOptions {
  std::uint16_t mss = 0;  // bytes; 0: not given, or given as 0
  std::uint8_t window_scale =
      15;  // 15: not given; values above 14 count as 14 (RFC 7323 section 2.3)
  bool sack_permitted = false;
  bool timestamps = false;
  bool malformed = false;
  bool auth = false;  // TCP MD5 or TCP-AO, of whatever length
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};

namespace detail {
[[nodiscard]] TcpOptions parse_any_tcp_options(const std::uint8_t* options, std::size_t size);
}

[[nodiscard]] inline TcpOptions parse_tcp_options(const std::uint8_t* options, std::size_t size) {
  // The SYN and the SYN-ACK of Linux, and our own, matched whole: MSS, SACK-permitted, timestamps,
  // NOP, window scale.
  if (size == 20) {
    const auto mss = load_be<std::uint32_t>(options);
    const auto scale = load_be<std::uint32_t>(options + 16);
    if (mss >> 16 == 0x0204 && load_be<std::uint32_t>(options + 4) == 0x0402080aU &&
        scale >> 8 == 0x010303) {
      const auto shift = static_cast<std::uint8_t>(scale);
      TcpOptions out;
      out.mss = static_cast<std::uint16_t>(mss);
      out.window_scale = shift < 14 ? shift : std::uint8_t{14};
      out.sack_permitted = true;
      out.timestamps = true;
      out.tsval = load_be<std::uint32_t>(options + 8);
      out.tsecr = load_be<std::uint32_t>(options + 12);
      return out;
    }
  }
  return detail::parse_any_tcp_options(options, size);
}

// The timestamps option alone, the common layout (NOP NOP TS) matched whole.
struct Timestamps {
  bool present = false;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};
[[nodiscard]] inline Timestamps find_timestamps(const std::uint8_t* options, std::size_t size) {
  if (size == 12 && load_be<std::uint32_t>(options) == 0x0101080aU) {
    return {true, load_be<std::uint32_t>(options + 4), load_be<std::uint32_t>(options + 8)};
  }
  if (size == 0) return {};
  const TcpOptions all = parse_tcp_options(options, size);
  return {all.timestamps, all.tsval, all.tsecr};
}

}  // namespace synproxy
