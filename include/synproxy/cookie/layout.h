// SPDX-License-Identifier: BSD-3-Clause
// Which bit of a cookie means what, for code that makes one at a time and for code that makes
// eight. docs/cookie.md has the reasons and the odds.
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

#include "synproxy/wire/option_list.h"

namespace synproxy {

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

// Where one option stands among the option bits.
struct Field {
  unsigned shift;
  unsigned bits;
  [[nodiscard]] constexpr unsigned end() const { return shift + bits; }
  [[nodiscard]] constexpr std::uint64_t put(std::uint64_t value) const { return value << shift; }
  [[nodiscard]] constexpr std::uint64_t get(std::uint64_t packed) const {
    return packed >> shift & ((1ULL << bits) - 1);
  }
};

inline constexpr unsigned kParityBits = 1;
inline constexpr unsigned kScaleBits = 4;
static_assert(kNoScale < 1U << kScaleBits);

// Client with timestamps: 64 bits of ISN and TSval.
inline constexpr Field kTsEcn{0, 1};
inline constexpr Field kTsSack{kTsEcn.end(), 1};
inline constexpr Field kTsScale{kTsSack.end(), kScaleBits};
inline constexpr Field kTsMss{kTsScale.end(), 16};
inline constexpr unsigned kTsOptionBits = kTsMss.end();
inline constexpr unsigned kTsTagBits = 41;
inline constexpr unsigned kTsTagInTsval = 32 - kTsOptionBits;
inline constexpr std::uint64_t kTsOptionMask = (1ULL << kTsOptionBits) - 1;
static_assert(kParityBits + kTsTagBits + kTsOptionBits == 64);
static_assert(kTsTagBits - kTsTagInTsval == 31);

// Client without: the ISN alone.
inline constexpr unsigned kMssClassBits = 2;
inline constexpr Field kPlainMssClass{0, kMssClassBits};
inline constexpr Field kPlainSack{kPlainMssClass.end(), 1};
inline constexpr Field kPlainScale{kPlainSack.end(), kScaleBits};
inline constexpr unsigned kPlainOptionBits = kPlainScale.end();
inline constexpr unsigned kPlainTagBits = 24;
inline constexpr std::uint64_t kPlainOptionMask = (1ULL << kPlainOptionBits) - 1;
static_assert(kParityBits + kPlainTagBits + kPlainOptionBits == 32);

// The tag is the top of a 64-bit sum, and the mask is the bottom of one of its summands: they must
// not share a bit.
static_assert(kTsTagBits + kTsOptionBits <= 64 && kPlainTagBits + kPlainOptionBits <= 64);

[[nodiscard]] constexpr unsigned option_bits(bool timestamps) {
  return timestamps ? kTsOptionBits : kPlainOptionBits;
}
[[nodiscard]] constexpr unsigned tag_bits(bool timestamps) {
  return timestamps ? kTsTagBits : kPlainTagBits;
}
[[nodiscard]] constexpr std::uint64_t option_mask(bool timestamps) {
  return timestamps ? kTsOptionMask : kPlainOptionMask;
}

// The options as the tag covers them.
[[nodiscard]] constexpr std::uint64_t covered(std::uint64_t options, unsigned option_bits,
                                              unsigned offered_scale) {
  return options | std::uint64_t{offered_scale & kNoScale} << option_bits;
}

}  // namespace layout

// The plain layout names the client's MSS by the largest class that does not exceed it: 536, the
// default of IPv4; 1220, the default of IPv6; 1440, Ethernet under IPv6; 1460, Ethernet under IPv4.
inline constexpr std::array<std::uint16_t, 1U << layout::kMssClassBits> kMssClasses{536, 1220, 1440,
                                                                                    1460};
inline constexpr std::uint16_t kLowestMssClass = kMssClasses[0];

// Clients whose MSS is below these classes are small devices. No code is free for them, but hardly
// anybody has the lowest class together with SACK and a scale above 8, windows of 16 MB and more.
// So these codes stand for the MSS below, without scaling and SACK; and who does have the lowest
// class and such a scale gets no SACK (fit_for_cookie).
inline constexpr std::uint8_t kMostScaleBesideSack = 8;  // in the lowest class
inline constexpr std::array<std::uint16_t, 6> kLowMssClasses{1, 64, 128, 216, 340, 460};
static_assert(kLowMssClasses.size() == kMaxWindowScale - kMostScaleBesideSack, "a scale for each");
[[nodiscard]] constexpr unsigned low_mss_class(std::uint16_t mss) {
  unsigned index = 0;
  for (std::size_t i = 1; i < kLowMssClasses.size(); ++i) {
    index += mss >= kLowMssClasses[i] ? 1U : 0U;
  }
  return index;
}
// For clients without timestamps.
[[nodiscard]] constexpr bool is_low_mss(std::uint16_t mss) { return mss < kLowestMssClass; }

// Index of the largest class <= mss, which is not low.
[[nodiscard]] constexpr unsigned mss_class(std::uint16_t mss) {
  unsigned index = 0;
  for (std::size_t i = 1; i < kMssClasses.size(); ++i) {
    index += mss >= kMssClasses[i] ? 1U : 0U;
  }
  return index;
}

// Option bits of either layout, unmasked.
[[nodiscard]] constexpr std::uint64_t pack_timestamps(const ClientOptions& o) {
  using namespace layout;
  return kTsMss.put(o.mss) | kTsScale.put(o.wscale & kNoScale) | kTsSack.put(o.sack ? 1 : 0) |
         kTsEcn.put(o.ecn ? 1 : 0);
}
[[nodiscard]] constexpr ClientOptions unpack_timestamps(std::uint64_t bits) {
  using namespace layout;
  return {.mss = static_cast<std::uint16_t>(kTsMss.get(bits)),
          .wscale = static_cast<std::uint8_t>(kTsScale.get(bits)),
          .sack = kTsSack.get(bits) != 0,
          .ecn = kTsEcn.get(bits) != 0,
          .timestamps = true};
}
// The options are fit_for_cookie().
[[nodiscard]] constexpr std::uint64_t pack_plain(const ClientOptions& o) {
  using namespace layout;
  if (is_low_mss(o.mss)) {
    return kPlainScale.put(kMostScaleBesideSack + 1U + low_mss_class(o.mss)) | kPlainSack.put(1);
  }
  return kPlainScale.put(o.wscale & kNoScale) | kPlainSack.put(o.sack ? 1 : 0) |
         kPlainMssClass.put(mss_class(o.mss));
}
[[nodiscard]] constexpr ClientOptions unpack_plain(std::uint64_t bits) {
  using namespace layout;
  const auto code = static_cast<unsigned>(kPlainScale.get(bits));
  const bool lowest_with_sack = kPlainMssClass.get(bits) == 0 && kPlainSack.get(bits) != 0;
  if (lowest_with_sack && code > kMostScaleBesideSack && code != kNoScale) {
    return {.mss = kLowMssClasses[code - kMostScaleBesideSack - 1U]};
  }
  return {.mss = kMssClasses[kPlainMssClass.get(bits)],
          .wscale = static_cast<std::uint8_t>(kPlainScale.get(bits)),
          .sack = kPlainSack.get(bits) != 0,
          .ecn = false,
          .timestamps = false};
}

}  // namespace synproxy
