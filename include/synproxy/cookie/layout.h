// SPDX-License-Identifier: BSD-3-Clause
// Which bit of a cookie means what. docs/cookie.md has the reasons and the odds.
//
//   timestamps   ISN    31-1   tag, upper 31 bits
//                       0      parity
//                TSval  31-22  tag, lower 10 bits
//                       21-0   masked: MSS 16, wscale 4, SACK 1, ECN 1
//   plain        ISN    31-8   tag, 24 bits
//                       7-1    masked: wscale 4, SACK 1, MSS class 2
//                       0      parity
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace synproxy {

inline constexpr std::uint8_t kNoScale = 15;  // the client offered no window scaling

// What a SYN offered, and what a valid cookie gives back.
struct ClientOptions {
  std::uint16_t mss = 0;           // bytes; the family's default where the SYN had no MSS option
  std::uint8_t wscale = kNoScale;  // 0-14 (RFC 7323 section 2.3), or kNoScale
  bool sack = false;
  bool ecn = false;         // carried by the timestamps layout only
  bool timestamps = false;  // chooses the layout
  // The scale that the SYN-ACK offered in return; kNoScale if and only if `wscale` is. The tag
  // covers it, but the cookie does not carry it: the checker names the candidates.
  std::uint8_t offered_scale = kNoScale;

  friend bool operator==(const ClientOptions&, const ClientOptions&) = default;
};

// What the SYN-ACK carries, in host order.
struct Cookie {
  std::uint32_t isn = 0;
  std::uint32_t tsval = 0;  // 0 without timestamps; with them any value, even 0

  friend bool operator==(const Cookie&, const Cookie&) = default;
};

// The parity of the cookie's epoch: the lowest bit of the ISN. It is not masked, because it must be
// read before the key is known. As the lowest bit it helps nobody to hit a window by guessing.
[[nodiscard]] constexpr unsigned cookie_parity(std::uint32_t isn) { return isn & 1U; }

namespace layout {

inline constexpr unsigned kParityBits = 1;
inline constexpr unsigned kScaleBits = 4;

// Client with timestamps: 64 bits of ISN and TSval.
inline constexpr unsigned kTsOptionBits = 16 + kScaleBits + 1 + 1;
inline constexpr unsigned kTsTagBits = 41;
inline constexpr unsigned kTsTagInTsval = 32 - kTsOptionBits;
inline constexpr std::uint64_t kTsOptionMask = (1ULL << kTsOptionBits) - 1;
static_assert(kParityBits + kTsTagBits + kTsOptionBits == 64);
static_assert(kTsTagBits - kTsTagInTsval == 31);

// Client without: the ISN alone.
inline constexpr unsigned kMssClassBits = 2;
inline constexpr unsigned kPlainOptionBits = kScaleBits + 1 + kMssClassBits;
inline constexpr unsigned kPlainTagBits = 24;
inline constexpr std::uint64_t kPlainOptionMask = (1ULL << kPlainOptionBits) - 1;
static_assert(kParityBits + kPlainTagBits + kPlainOptionBits == 32);

// The tag is the top of a 64-bit sum, and the mask is the bottom of one of its summands: they must
// not share a bit.
static_assert(kTsTagBits + kTsOptionBits <= 64 && kPlainTagBits + kPlainOptionBits <= 64);

// The options as the tag covers them.
[[nodiscard]] constexpr std::uint64_t covered(std::uint64_t options, unsigned option_bits,
                                              unsigned offered_scale) {
  return options | std::uint64_t{offered_scale & 15U} << option_bits;
}

}  // namespace layout

// The plain layout names the client's MSS by the largest class that does not exceed it: 536, the
// default of IPv4; 1220, the default of IPv6; 1440, Ethernet under IPv6; 1460, Ethernet under IPv4.
inline constexpr std::array<std::uint16_t, 1U << layout::kMssClassBits> kMssClasses{536, 1220, 1440,
                                                                                    1460};
inline constexpr std::uint16_t kLowestMssClass = kMssClasses[0];

// Index of the largest class <= mss; an mss below the lowest class must have been refused before.
[[nodiscard]] constexpr unsigned mss_class(std::uint16_t mss) {
  unsigned index = 0;
  for (std::size_t i = 1; i < kMssClasses.size(); ++i) {
    index += mss >= kMssClasses[i] ? 1U : 0U;
  }
  return index;
}

// Option bits of either layout, unmasked.
[[nodiscard]] constexpr std::uint64_t pack_timestamps(const ClientOptions& o) {
  return std::uint64_t{o.mss} << 6 | (o.wscale & 15ULL) << 2 | (o.sack ? 2ULL : 0ULL) |
         (o.ecn ? 1ULL : 0ULL);
}
[[nodiscard]] constexpr ClientOptions unpack_timestamps(std::uint64_t bits) {
  return {.mss = static_cast<std::uint16_t>(bits >> 6),
          .wscale = static_cast<std::uint8_t>((bits >> 2) & 15),
          .sack = (bits & 2) != 0,
          .ecn = (bits & 1) != 0,
          .timestamps = true};
}
[[nodiscard]] constexpr std::uint64_t pack_plain(const ClientOptions& o) {
  return (o.wscale & 15ULL) << 3 | (o.sack ? 4ULL : 0ULL) | mss_class(o.mss);
}
[[nodiscard]] constexpr ClientOptions unpack_plain(std::uint64_t bits) {
  return {.mss = kMssClasses[bits & 3],
          .wscale = static_cast<std::uint8_t>((bits >> 3) & 15),
          .sack = (bits & 4) != 0,
          .ecn = false,
          .timestamps = false};
}

}  // namespace synproxy
