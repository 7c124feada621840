// SPDX-License-Identifier: BSD-3-Clause
// The forged ACKs of a flood, eight at a time.
//
// Theory of operation. An ACK without a flow that quotes no cookie is dropped, and in a flood of
// them nothing else happens. Where the CPU has AVX-512, eight are turned into columns, and their
// MACs, two for each since an ACK may be a probe, are computed and compared in columns. A lane is
// *refuted* when no cookie fits, whatever window scale may have been offered. Everything else about
// a frame, and every frame that is in any way uncommon, is left to the stages that treat all
// packets alike: a cookie that fits is looked at again there.
//
// Segments of spliced connections look just so, and for them all this would be done in vain: it is
// only done while bursts bring many that are refuted (Rooms::acks_refuted).
//
// A refuted ACK is not dropped at once. An ACK before it in the burst may open the very flow that
// it belongs to: so it waits for its turn, and when the burst has changed the table by then, it
// goes the way of the others after all (engine.cc).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "burst/columns.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/key_ring.h"

namespace synproxy {

struct Rooms;

// By their options, a row each: the timestamps of current stacks, or none.
struct AckShape {
  OptionList options;
  std::uint32_t tcp_header;  // bytes
  bool timestamps;

  constexpr explicit AckShape(const OptionList& list)
      : options(list),
        tcp_header(static_cast<std::uint32_t>(kTcpHeader + list.bytes())),
        timestamps(list.has_timestamps()) {}
};
inline constexpr std::array<AckShape, 2> kAckShapes{AckShape(kTimestampsAlone), AckShape({})};

struct AckGroup : Columns {
  // From verify(), host order:
  alignas(64) Column<std::uint64_t> isn;     // of the client: seq - 1
  alignas(64) Column<std::uint64_t> quoted;  // of the proxy: ack - 1
  alignas(64) Column<std::uint64_t> tsecr;   // with timestamps only
};

// The layout's keys by the parity of their epoch; nullptr: none is known.
using KeysByParity = std::array<const LayoutKey*, 2>;

struct AckKernel {
  // Bit i: lane i of the `used` ones holds an untagged IPv4 segment of the shape with ACK and none
  // of SYN, RST and URG, that is no junk, and its columns are filled. That the lengths in it fit
  // the frame is for the caller to know. kTouched bytes of each frame must be there.
  std::uint32_t (*verify)(AckGroup& g, std::uint32_t used);
  // Of `lanes` those for which no cookie fits, neither for seq - 1 nor for seq, that offered any of
  // `scales` or no scale.
  std::uint32_t (*refute)(const AckGroup& g, std::uint32_t lanes, const KeysByParity& keys,
                          ScaleSet scales);
};

// By row of kAckShapes; nullptr where this CPU has nothing that would be faster than one by one.
using AckKernels = std::array<AckKernel, kAckShapes.size()>;
[[nodiscard]] const AckKernels* ack_kernels();

// Bit i: the i-th packet is refuted, and has no flow. Nothing is done to it. `burst`: up to
// kMaxBurst packets of the client's side, their headers prefetched; those of `decided` are left
// out.
[[nodiscard]] std::uint32_t refute_ack_burst(Rooms& rooms, std::span<const Packet> burst,
                                             std::uint32_t decided);

}  // namespace synproxy
