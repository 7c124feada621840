// SPDX-License-Identifier: BSD-3-Clause
// Segments to a protected port that no TCP sends: dropped before anything is looked up.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "synproxy/base/reasons.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// Never the source of a unicast connection: RFC 1122 section 3.2.1.3, RFC 6890; RFC 4291
// section 2.7. `address`: 4 or 16 bytes, network order.
[[nodiscard]] inline bool impossible_source(const std::uint8_t* address, bool ipv6) {
  if (!ipv6) {
    const std::uint8_t first = address[0];
    if (first == 0 || first == 127 || (first >= 224 && first < 240)) return true;
    return load_raw<std::uint32_t>(address) == 0xffffffffU;
  }
  if (address[0] == 0xff) return true;
  std::uint8_t others = 0;
  for (int i = 0; i < 15; ++i) others = static_cast<std::uint8_t>(others | address[i]);
  return others == 0 && address[15] <= 1;  // :: and ::1
}

// The flags alone: which of the six classic ones may stand together.
[[nodiscard]] constexpr std::optional<Reason> junk_flags(std::uint16_t flags) {
  constexpr std::uint16_t kClassic = kFin | kSyn | kRst | kPsh | kAck | kUrg;
  const std::uint16_t f = flags & kClassic;
  if (f == 0) return Reason::null_flags;
  if (f == kClassic) return Reason::xmas_flags;
  if ((f & kSyn) != 0 && (f & kFin) != 0) return Reason::syn_fin;
  if ((f & kSyn) != 0 && (f & kRst) != 0) return Reason::syn_rst;
  if ((f & (kSyn | kRst | kAck)) == 0) return Reason::no_ack_flag;
  return std::nullopt;
}

namespace detail {
// Bit f: the six classic flags f may stand together.
inline constexpr std::uint64_t kSoundFlags = [] {
  std::uint64_t sound = 0;
  for (std::uint16_t f = 0; f < 64; ++f) sound |= std::uint64_t{!junk_flags(f)} << f;
  return sound;
}();

// First bytes of IPv4 addresses that impossible_source() never objects to.
inline constexpr std::array<bool, 256> kSoundFirstByte = [] {
  std::array<bool, 256> sound{};
  for (unsigned b = 0; b < 255; ++b) sound[b] = b != 0 && b != 127 && !(b >= 224 && b < 240);
  return sound;
}();

[[nodiscard]] inline bool same_ends(const Segment& s) {
  if (s.source_port() != s.destination_port()) return false;
  return std::memcmp(s.source(), s.destination(), s.ipv6 ? 16 : 4) == 0;
}
}  // namespace detail

// Nothing of what junk() looks for: what nearly every segment is, without naming a reason. May be
// false for a segment that is no junk.
[[nodiscard]] inline bool surely_sound(const Segment& s) {
  const bool flags = (detail::kSoundFlags >> (s.flags & 63U) & 1U) != 0;
  const bool unicast = ((s.frame[0] | s.frame[6]) & 1U) == 0;
  const bool ports = s.ports.raw() != std::rotl(s.ports.raw(), 16);  // so the ends differ
  return flags && unicast && ports && !s.ipv6 && detail::kSoundFirstByte[s.source()[0]];
}

// For kTcp from the client side.
[[nodiscard]] inline std::optional<Reason> junk(const Segment& s) {
  if (const auto reason = junk_flags(s.flags)) return reason;
  if ((s.frame[0] & 1U) != 0) return Reason::bad_destination_mac;
  if (detail::same_ends(s)) return Reason::land;
  if ((s.frame[6] & 1U) != 0 || impossible_source(s.source(), s.ipv6)) return Reason::bad_source;
  return std::nullopt;
}

}  // namespace synproxy
