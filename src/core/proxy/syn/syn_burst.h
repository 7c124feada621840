// SPDX-License-Identifier: BSD-3-Clause
// The SYNs of a flood, eight at a time.
//
// Theory of operation. In a burst of a flood most frames are SYNs of one of few shapes, down to the
// order of the options (shapes.h). Where the CPU has AVX-512, eight of one shape are turned into
// columns, a lane for each, and all that is the same work for each of them is done on columns: the
// shape and both checksums are verified, the MAC and the cookie computed, the SYN-ACK written. What
// differs in kind is done frame by frame between the two: what the service offers, and whether
// there is a flow.
//
// A frame that is in any way uncommon is left alone, and goes the way of every other packet
// (burst/stages.h). So this is never the only place that does something, and means the same: the
// tests compare both ways byte by byte.
//
// Walk one burst through. answer_syn_burst() sorts frames by shape, by a few bytes of each. A group
// of eight is verified; the buckets of those that passed are prefetched; after the last group each
// bucket is looked at, and those without a flow are answered. The rest of the burst is returned to
// the engine.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "burst/columns.h"
#include "syn/shapes.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/key_ring.h"

namespace synproxy {

struct Rooms;

struct SynGroup : Columns {
  // From verify(). Raw are words as they lie in the frame.
  alignas(64) Column<std::uint64_t> source;       // raw, in the upper half
  alignas(64) Column<std::uint64_t> destination;  // raw; above it both ports, raw, source first
  alignas(64) Column<std::uint64_t> isn;          // of the client, host order
  alignas(64) Column<std::uint64_t> options;      // as the cookie packs them
  alignas(64) Column<std::uint64_t> tsval;        // host order; with timestamps only
  // Before answer(); of lanes that are not answered, anything.
  alignas(64) Column<std::uint64_t> offers;  // each a SynAckOffer as it lies in memory
};

struct SynKernel {
  // Bit i: lane i of the `used` ones holds an untagged IPv4 SYN of the shape, sound in all that
  // the engine asks of a SYN but for its service, and its columns are filled. Frames that are not
  // such a SYN are read as if they were: kTouched bytes from each must be there, or those of the
  // shape if they are more.
  std::uint32_t (*verify)(SynGroup& g, std::uint32_t used);
  // Those lanes become their SYN-ACKs. `key` is of the shape's layout.
  void (*answer)(const SynGroup& g, std::uint32_t lanes, const LayoutKey& key, unsigned parity);
};

// By row of kSynShapes; nullptr where this CPU has nothing that would be faster than one by one.
using SynKernels = std::array<SynKernel, kSynShapes.size()>;
[[nodiscard]] const SynKernels* syn_kernels();

// Bit i: the i-th packet is decided. `burst`: up to kMaxBurst packets of the client's side, their
// headers prefetched.
[[nodiscard]] std::uint32_t answer_syn_burst(Rooms& rooms, std::span<Packet> burst);

}  // namespace synproxy
