// SPDX-License-Identifier: BSD-3-Clause
// The stack of VLAN tags of a frame (IEEE 802.1Q, 802.1ad), packed into one word for keys.
#pragma once

#include <cstdint>

namespace synproxy {

inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kEtherTypeQinQ = 0x88a8;
inline constexpr std::uint32_t kMaxVlanTags = 2;
// Behind so many the parser still looks whether they carry TCP. Nobody stacks more.
inline constexpr std::uint32_t kMostVlanTags = 4;

// Bits 0-11 the inner VID, 12-23 the outer one, 24-25 the number of tags, 26 and 27 set where the
// inner and the outer tag have TPID 0x88a8. PCP and DEI are not part of a connection's identity. A
// tag whose VID is 0 names no VLAN (IEEE 802.1Q table 9-2) and is left out: hosts answer such a
// frame without a tag.
struct VlanStack {
  std::uint32_t packed = 0;

  [[nodiscard]] constexpr std::uint32_t tags() const { return (packed >> 24) & 3; }
  [[nodiscard]] constexpr std::uint16_t inner() const { return packed & 0xfffU; }
  [[nodiscard]] constexpr std::uint16_t outer() const { return packed >> 12 & 0xfffU; }
  [[nodiscard]] constexpr VlanStack with_vids(std::uint32_t inner, std::uint32_t outer) const {
    return {(packed & ~0xffffffU) | (inner & 0xfffU) | (outer & 0xfffU) << 12};
  }
  [[nodiscard]] constexpr VlanStack pushed(std::uint16_t tpid, std::uint16_t tci) const {
    const std::uint32_t vid = tci & 0xfffU;
    if (vid == 0) return *this;
    const std::uint32_t service = tpid == kEtherTypeQinQ ? 1U : 0U;
    // The former inner tag becomes the outer one.
    const std::uint32_t outer = (packed & 0xfffU) << 12 | (packed & 1U << 26) << 1;
    return {outer | vid | service << 26 | (tags() + 1) << 24};
  }
  friend constexpr bool operator==(VlanStack, VlanStack) = default;
};

}  // namespace synproxy
