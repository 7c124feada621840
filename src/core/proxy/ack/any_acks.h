// SPDX-License-Identifier: BSD-3-Clause
// Forged ACKs of any shape, eight at a time, as syn/any_syns.h does with SYNs. The stages before
// have parsed each ACK, and found its timestamps and that it has no flow. Columns tell which ones
// certainly quote no cookie. The others, and those that are too few, get a MAC of their own.
#pragma once

#include <array>
#include <cstdint>

#include "ack/ack_burst.h"

namespace synproxy {

// Columns::frames and places: as in AnySynGroup. The caller fills `addresses`, `ports` and `vlan`
// too, and all that AckGroup has.
struct AnyAckGroup : AckGroup {
  alignas(64) Column<std::uint64_t> timestamps;  // 0 or 1
};

// Returns the lanes for which no cookie fits, as AckKernel::refute. Keys: of both layouts.
using AnyAckKernel = std::uint32_t (*)(AnyAckGroup& g, const KeysByParity& plain,
                                       const KeysByParity& timestamps, ScaleSet scales);
// Of IPv4, then of IPv6.
using AnyAckKernels = std::array<AnyAckKernel, 2>;

struct Context;

class AnyAcks {
 public:
  void add(std::size_t place, bool ipv6) { places_[ipv6 ? 1 : 0] |= 1U << place; }
  [[nodiscard]] bool none() const { return (places_[0] | places_[1]) == 0; }
  // The places of those that are refuted. `burst`: with an AckPlan in each of the places.
  [[nodiscard]] std::uint32_t refuted(const Rooms& rooms, const Context* burst) const;
  // All places.
  [[nodiscard]] std::uint32_t all() const { return places_[0] | places_[1]; }

 private:
  std::array<std::uint32_t, 2> places_{};
};

}  // namespace synproxy
