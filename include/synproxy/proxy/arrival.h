// SPDX-License-Identifier: BSD-3-Clause
// What is known about a frame before the engine decides it. It is found once and carried with the
// packet.
//
// With several workers the receiver of a frame has to know its flow to find its owner. That takes
// parsing and the keyed hash. Both results are noted here and go with the frame to the owner's
// engine (Packet::arrival), which does not compute them again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/policy/protect.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

struct Arrival {
  Segment segment;
  // index_hash() of the flow, or of the flow that an ICMP error quotes. Valid only if `owned`.
  std::uint64_t hash = 0;
  bool owned = false;  // protected TCP, or an ICMP error about it: the hash chooses the worker
};
static_assert(sizeof(Arrival) <= 64, "one cache line goes with a frame");

// Parses a packet, or takes what was noted of it.
inline void read_segment(const Packet& packet, Segment& out) {
  if (packet.arrival != nullptr) [[unlikely]] {
    out = packet.arrival->segment;
  } else {
    parse_frame(packet.data, packet.length, out);
  }
}

// Returns which of `workers` owns the flow of a frame, by the keyed hash, and fills `found`. A
// frame that belongs to no protected flow may go to any worker; `fallback` is returned for it.
[[nodiscard]] std::uint32_t owner_of(std::span<const std::uint8_t> frame, Role sender,
                                     const ProtectSet& protect,
                                     const std::array<std::uint64_t, 4>& index_key,
                                     std::uint32_t workers, std::uint32_t fallback, Arrival& found);

}  // namespace synproxy
