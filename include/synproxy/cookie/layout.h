// SPDX-License-Identifier: BSD-3-Clause
// Which bit of a cookie means what, for code that makes one at a time and for code that makes
// eight. docs/cookie.md has the reasons and the odds.
//
//   both         ISN    31-8   tag, 24 bits
//                       7-1    masked: wscale 4, SACK 1, MSS class 2
//                       0      parity
//   timestamps   TSval  31-17  second tag, 15 bits
//                       16-0   masked: MSS 16, ECN 1
//
// So the ISN alone says whether a cookie was made, and what a client needs to be served. A client
// whose timestamps are taken away on the path brings back no more than that.
//
// In an epoch that is tight (KeyRing), the layout without timestamps gives option bits to the tag:
//
//   tight        ISN    31-4   tag, 28 bits
//                       3-1    masked: scale and SACK 1, MSS class 2
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

// In the ISN.
inline constexpr unsigned kMssClassBits = 2;
inline constexpr Field kMssClass{0, kMssClassBits};
inline constexpr Field kSack{kMssClass.end(), 1};
inline constexpr Field kScale{kSack.end(), kScaleBits};
inline constexpr unsigned kIsnOptionBits = kScale.end();
inline constexpr unsigned kIsnTagBits = 24;
inline constexpr std::uint64_t kIsnOptionMask = (1ULL << kIsnOptionBits) - 1;
static_assert(kParityBits + kIsnTagBits + kIsnOptionBits == 32);
// In the ISN of a tight epoch: the MSS class stands where it always does.
inline constexpr Field kTightRich{kMssClass.end(), 1};
inline constexpr unsigned kTightOptionBits = kTightRich.end();

// In TSval, for clients with timestamps.
inline constexpr Field kEcn{kIsnOptionBits, 1};
inline constexpr Field kMss{kEcn.end(), 16};
inline constexpr unsigned kAllOptionBits = kMss.end();
inline constexpr unsigned kTsvalOptionBits = kAllOptionBits - kIsnOptionBits;
inline constexpr unsigned kTsvalTagBits = 15;
inline constexpr std::uint64_t kTsvalOptionMask = (1ULL << kTsvalOptionBits) - 1;
inline constexpr std::uint64_t kTsvalTagMask = (1ULL << kTsvalTagBits) - 1;
static_assert(kTsvalTagBits + kTsvalOptionBits == 32);

// The first tag is the top of a 64-bit sum. The second is cut from another sum, from the bits just
// below. The masks are the bottom of a summand of both. None of the three shares a bit.
inline constexpr unsigned kIsnTagShift = 64 - kIsnTagBits;
[[nodiscard]] constexpr unsigned isn_tag_shift(unsigned option_bits) {
  return 64 - (32 - kParityBits - option_bits);
}
static_assert(isn_tag_shift(kIsnOptionBits) == kIsnTagShift);
inline constexpr unsigned kTsvalTagShift = kIsnTagShift - kTsvalTagBits;
static_assert(kTsvalTagShift >= kAllOptionBits);

// The options of the ISN as the first tag covers them: with the offered scale, which no bit
// carries.
[[nodiscard]] constexpr std::uint64_t covered(std::uint64_t isn_options, unsigned offered_scale) {
  return isn_options | std::uint64_t{offered_scale & kNoScale} << kIsnOptionBits;
}
// What the second tag covers besides.
inline constexpr unsigned kCoveredByTsval = kIsnOptionBits + kScaleBits;

}  // namespace layout

// The ISN names the client's MSS by the largest class that does not exceed it: 536, the
// default of IPv4; 1220, the default of IPv6; 1440, Ethernet under IPv6; 1460, Ethernet under IPv4.
inline constexpr std::array<std::uint16_t, 1U << layout::kMssClassBits> kMssClasses{536, 1220, 1440,
                                                                                    1460};
inline constexpr std::uint16_t kLowestMssClass = kMssClasses[0];

// Clients whose MSS is below these classes are small devices. No code is free for them, but hardly
// anybody has the lowest class together with SACK and a scale above 8, windows of 16 MB and more.
// So these codes stand for the MSS values below, without scaling and SACK. A client that does have
// the lowest class and such a scale gets no SACK (fit_for_cookie).
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

// The options as an ISN carries them, for either layout. Without timestamps they are
// fit_for_cookie(). With timestamps they stand as they are, and TSval names a low MSS.
[[nodiscard]] constexpr std::uint64_t pack_in_isn(const ClientOptions& o) {
  using namespace layout;
  const bool low = !o.timestamps && is_low_mss(o.mss);
  const std::uint64_t code = low ? kMostScaleBesideSack + 1U + low_mss_class(o.mss) : o.wscale;
  return kScale.put(code & kNoScale) | kSack.put(o.sack || low ? 1 : 0) |
         kMssClass.put(mss_class(o.mss));
}
// Of the plain layout.
[[nodiscard]] constexpr ClientOptions unpack_plain(std::uint64_t bits) {
  using namespace layout;
  const auto code = static_cast<unsigned>(kScale.get(bits));
  const bool lowest_with_sack = kMssClass.get(bits) == 0 && kSack.get(bits) != 0;
  if (lowest_with_sack && code > kMostScaleBesideSack && code != kNoScale) {
    return {.mss = kLowMssClasses[code - kMostScaleBesideSack - 1U]};
  }
  return {.mss = kMssClasses[kMssClass.get(bits)],
          .wscale = static_cast<std::uint8_t>(code),
          .sack = kSack.get(bits) != 0,
          .ecn = false,
          .timestamps = false};
}
// A tight cookie has one bit for scale and SACK: with it the client has both, and this scale or a
// larger one. Windows clients, which send no timestamps, have 8. A client with a smaller scale gets
// neither. A scale that is rounded down makes the server see less of the client's window, never
// more.
inline constexpr std::uint8_t kTightScale = 7;
// Nobody needs scale and SACK beside the lowest class, so that code stands for an MSS below it.
inline constexpr std::uint16_t kTightLowMss = 64;

// The options as an ISN of a tight epoch carries them. They are fit_for_tight_cookie().
[[nodiscard]] constexpr std::uint64_t pack_tight(const ClientOptions& o) {
  using namespace layout;
  return kTightRich.put(o.sack || is_low_mss(o.mss) ? 1 : 0) | kMssClass.put(mss_class(o.mss));
}
[[nodiscard]] constexpr ClientOptions unpack_tight(std::uint64_t bits) {
  using namespace layout;
  const bool rich = kTightRich.get(bits) != 0;
  if (rich && kMssClass.get(bits) == 0) return {.mss = kTightLowMss};
  return {.mss = kMssClasses[kMssClass.get(bits)],
          .wscale = rich ? kTightScale : kNoScale,
          .sack = rich,
          .ecn = false,
          .timestamps = false};
}

// Of the ISN alone, in the layout with timestamps. An MSS below the lowest class is not known then:
// such a client gets 536, because every host takes packets of 576 bytes (RFC 791).
[[nodiscard]] constexpr ClientOptions unpack_stripped(std::uint64_t bits) {
  using namespace layout;
  return {.mss = kMssClasses[kMssClass.get(bits)],
          .wscale = static_cast<std::uint8_t>(kScale.get(bits)),
          .sack = kSack.get(bits) != 0,
          .ecn = false,
          .timestamps = false};
}

[[nodiscard]] constexpr std::uint64_t pack_timestamps(const ClientOptions& o) {
  using namespace layout;
  return pack_in_isn(o) | kMss.put(o.mss) | kEcn.put(o.ecn ? 1 : 0);
}
[[nodiscard]] constexpr ClientOptions unpack_timestamps(std::uint64_t bits) {
  using namespace layout;
  ClientOptions o = unpack_stripped(bits);
  o.mss = static_cast<std::uint16_t>(kMss.get(bits));
  o.ecn = kEcn.get(bits) != 0;
  o.timestamps = true;
  return o;
}

}  // namespace synproxy
