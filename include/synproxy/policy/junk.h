// SPDX-License-Identifier: BSD-3-Clause
// Junk: segments to a protected port that no TCP sends. They are dropped before anything is looked
// up.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "synproxy/base/reasons.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// A range of addresses that are never the source of a connection. Raw: as they lie in a packet.
struct Ipv4Prefix {
  std::uint32_t mask;
  std::uint32_t value;
};
struct Ipv6Prefix {
  std::array<std::uint64_t, 2> mask;
  std::array<std::uint64_t, 2> value;
};
namespace detail {
[[nodiscard]] constexpr Ipv4Prefix ipv4_prefix(std::uint32_t address, unsigned bits) {
  return {be32(~0U << (32 - bits)).raw(), be32(address).raw()};
}
[[nodiscard]] constexpr std::uint64_t raw64(std::uint64_t host) {
  return BigEndian<std::uint64_t>(host).raw();
}
}  // namespace detail
// RFC 1122 section 3.2.1.3, RFC 6890: this network, loopback, multicast, broadcast.
inline constexpr std::array<Ipv4Prefix, 4> kImpossibleIpv4{
    detail::ipv4_prefix(0, 8), detail::ipv4_prefix(127U << 24, 8),
    detail::ipv4_prefix(224U << 24, 4), detail::ipv4_prefix(0xffffffffU, 32)};
// RFC 4291 sections 2.7 and 2.5: multicast; unspecified (::) and loopback (::1).
inline constexpr std::array<Ipv6Prefix, 2> kImpossibleIpv6{
    Ipv6Prefix{{detail::raw64(0xffULL << 56), 0}, {detail::raw64(0xffULL << 56), 0}},
    Ipv6Prefix{{~0ULL, detail::raw64(~1ULL)}, {0, 0}}};

// `address`: 4 or 16 bytes, network order.
[[nodiscard]] inline bool impossible_source(const std::uint8_t* address, bool ipv6) {
  bool found = false;
  if (!ipv6) {
    const auto raw = load_raw<std::uint32_t>(address);
    for (const Ipv4Prefix& p : kImpossibleIpv4) found |= (raw & p.mask) == p.value;
    return found;
  }
  const auto first = load_raw<std::uint64_t>(address);
  const auto last = load_raw<std::uint64_t>(address + 8);
  for (const Ipv6Prefix& p : kImpossibleIpv6) {
    found |= (((first & p.mask[0]) ^ p.value[0]) | ((last & p.mask[1]) ^ p.value[1])) == 0;
  }
  return found;
}

// Judges the flags alone: which of the six classic ones may stand together.
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

// Indexed by the first byte of an IPv4 address: impossible_source() accepts every address with it.
inline constexpr std::array<bool, 256> kSoundFirstByte = [] {
  std::array<bool, 256> sound{};
  constexpr std::uint32_t kFirstByte = be32(0xff000000U).raw();
  for (std::uint32_t b = 0; b < 256; ++b) {
    sound[b] = true;
    for (const Ipv4Prefix& p : kImpossibleIpv4) {
      if (((be32(b << 24).raw() ^ p.value) & p.mask & kFirstByte) == 0) sound[b] = false;
    }
  }
  return sound;
}();

[[nodiscard]] inline bool same_ends(const Segment& s) {
  if (s.source_port() != s.destination_port()) return false;
  return std::memcmp(s.source(), s.destination(), ip_address_size(s.ipv6)) == 0;
}
}  // namespace detail

// RFC 1122 section 3.3.6: a datagram to one host does not come by link-layer broadcast. Other group
// addresses are no junk: a cluster listens at one.
[[nodiscard]] inline bool is_broadcast(const std::uint8_t* mac) {
  return load_raw<std::uint32_t>(mac) == ~0U && load_raw<std::uint16_t>(mac + 4) == 0xffffU;
}

// A quick test that nearly every segment passes. True: junk() would find nothing. False says
// nothing: the segment may be sound.
[[nodiscard]] inline bool surely_sound(const Segment& s) {
  const bool flags = (detail::kSoundFlags >> (s.flags & 63U) & 1U) != 0;
  const bool ports = s.ports.raw() != std::rotl(s.ports.raw(), 16);  // so the ends differ
  return flags && is_unicast(s.frame) && ports && !s.ipv6 && detail::kSoundFirstByte[s.source()[0]];
}

// Why the segment is junk, if it is. For segments of result kTcp from the client side.
[[nodiscard]] inline std::optional<Reason> junk(const Segment& s) {
  if (const auto reason = junk_flags(s.flags)) return reason;
  if (is_broadcast(s.frame + ether_at::kDestination)) return Reason::bad_destination_mac;
  if (detail::same_ends(s)) return Reason::land;
  const bool group = (s.frame[ether_at::kSource] & kGroupAddress) != 0;
  if (group || impossible_source(s.source(), s.ipv6)) return Reason::bad_source;
  return std::nullopt;
}

}  // namespace synproxy
