// SPDX-License-Identifier: BSD-3-Clause
// What is found out about a frame before the engine decides it: found once, carried with the packet.
//
// With several workers whoever receives a frame has to know its flow to know its owner. What that
// took, parsing and the keyed hash, is noted here and goes with the frame to the owner's engine
// (Packet::arrival), which does not do it again.
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
  // index_hash() of the flow; of an ICMP error, of the flow that it quotes. Where `owned`.
  std::uint64_t hash = 0;
  bool owned = false;  // protected TCP, or an ICMP error that quotes it: the hash names its worker
};
static_assert(sizeof(Arrival) <= 64, "one cache line goes with a frame");

// Which of `workers` owns the flow of a frame, by the keyed hash; fills `found`. Frames that belong
// to no protected flow may go anywhere: `fallback` is returned.
[[nodiscard]] std::uint32_t owner_of(std::span<const std::uint8_t> frame, Role sender,
                                     const ProtectSet& protect,
                                     const std::array<std::uint64_t, 4>& index_key,
                                     std::uint32_t workers, std::uint32_t fallback,
                                     Arrival& found);

}  // namespace synproxy
