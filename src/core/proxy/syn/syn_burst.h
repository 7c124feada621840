// SPDX-License-Identifier: BSD-3-Clause
// The SYNs of a flood, eight at a time.
//
// Theory of operation. In a flood most frames are SYNs of a few shapes, alike down to the order of
// the options (shapes.h). Where the CPU has AVX2 or AVX-512, eight SYNs of one shape are turned
// into columns, one lane for each. The columns do the work that is the same for all: first they
// verify the shape and both checksums; later they compute MAC and cookie and write the SYN-ACK.
// Between the two, two questions are asked frame by frame: what the service offers, and whether
// there is a flow. Where a burst mixes shapes, or a service offers less than a shape asks for, a
// kernel for all shapes takes its constants lane by lane (mixed_syns_lanes.h).
//
// A frame that is in any way uncommon is left alone, and goes the way of every other packet
// (burst/stages.h). So this is never the only place that does something, and means the same: the
// tests compare both ways byte by byte.
//
// One burst, step by step. answer_syn_burst() sorts frames by shape, looking at a few bytes of
// each. It verifies groups of eight and prefetches the buckets of the SYNs that pass. After the
// last group it looks at each bucket and answers the SYNs without a flow. The rest of the burst is
// left to the engine.
//
// SYNs of IPv6, and those with tags, are looked for only while the last burst has brought some
// (Rooms::syn_kinds), so that all other packets do not pay for it. Behind tags a frame is like any
// other. A burst that mixes kinds is sorted by a kernel without branches, one that does not frame
// by frame.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "burst/candidates.h"
#include "burst/columns.h"
#include "syn/shapes.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/key_ring.h"

namespace synproxy {

// The flags that a SYN may have besides (RFC 3168, RFC 9768). No shape has them.
inline constexpr std::uint16_t kAnyEcn = kEce | kCwr | kAe;

struct Rooms;

struct SynGroup : Columns {
  bool tight;  // whether plain cookies are; set by the caller before verify()
  // Filled by verify(). Raw: as it lies in the frame.
  alignas(64) Column<std::uint64_t> source;       // raw, in the upper half; below it the TTL in
                                                  // bits 0 to 7, the TOS in bits 8 to 15. IPv6:
                                                  // the first 8 bytes of the header
  alignas(64) Column<std::uint64_t> destination;  // raw (IPv6: its last 4 bytes); above it both
                                                  // ports, raw, source first
  alignas(64) Column<std::uint64_t> isn;          // the client's, host order
  alignas(64) Column<std::uint64_t> options;      // as the cookie packs them; where shapes are
                                                  // mixed, TcpOptions, its first eight bytes
  alignas(64) Column<std::uint64_t> tsval;        // host order; with timestamps only
  alignas(64) Column<std::uint64_t> wants_ecn;    // 0 or 1; only where shapes are mixed
  // Filled by the caller before answer(). Lanes that are not answered may hold anything.
  alignas(64) Column<std::uint64_t> offers;  // each SynAckOffer::first_word()
  alignas(64) Column<std::uint64_t> can;     // each SynAckOffer::can; only where shapes are mixed
  // Filled by answer().
  alignas(64) Column<std::uint64_t> tcp_length;  // of the SYN-ACKs; only where shapes are mixed
  alignas(64) Column<std::uint64_t> macs;        // for the lanes that it returns
};

struct SynKernel {
  // Fills the columns. Bit i of the result: lane i is one of `used` and holds a SYN of the shape
  // and family that passes all checks of the engine but that of its service. Every frame is read as
  // if it were such a SYN, so columns::kMostRead bytes of each must be readable, for IPv6
  // kIpv6Shift bytes more. If plain cookies are tight, a SYN is left out whose answer agrees on
  // less than its shape offers.
  std::uint32_t (*verify)(SynGroup& g, std::uint32_t used);
  // Turns the frames of `lanes` into their SYN-ACKs. Returns those whose MAC has no bit of
  // `left_out` (SynTimes).
  std::uint32_t (*answer)(SynGroup& g, std::uint32_t lanes, const EpochKeys& keys,
                          std::uint64_t left_out);
};

// One kernel for each row of kSynShapes, first of IPv4, then of IPv6.
using SynKernels = std::array<SynKernel, 2 * kSynShapes.size()>;
// Of IPv4, then of IPv6.
using MixedSynKernels = std::array<SynKernel, 2>;

// SYNs by shape, judged by a few bytes. Those of no shape, and those that ask for ECN, stand in the
// rows for any.
using SynRows = Candidates<kSynShapes.size()>;
struct SynSorter {
  // Finds those of a burst, of both families and behind tags. Up to kMaxBurst packets.
  void (*sort)(std::span<const Packet> burst, SynRows& found);
};

// Bit i of the result: the i-th packet is answered, or was dropped because of the cap on SYN-ACKs.
// `burst`: up to kMaxBurst packets from the client side, with their headers prefetched. Packets of
// `decided` are left out.
[[nodiscard]] std::uint32_t answer_syn_burst(Rooms& rooms, std::span<Packet> burst,
                                             std::uint32_t decided);

}  // namespace synproxy
