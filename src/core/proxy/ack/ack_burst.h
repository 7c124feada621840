// SPDX-License-Identifier: BSD-3-Clause
// The forged ACKs of a flood, eight at a time.
//
// Theory of operation. An ACK without a flow that quotes no valid cookie is dropped. In a flood of
// forged ACKs nothing else happens. Where the CPU has AVX2 or AVX-512, eight ACKs are turned into
// columns. Each ACK needs two MACs, because it may be a probe; all are computed and compared in
// columns. A lane is *refuted* when no cookie fits, whatever window scale may have been offered.
// The stages that treat all packets alike do the rest: they take every uncommon frame, and they
// check a cookie that fits again.
//
// Segments of spliced connections have the same shape, and for them this work is wasted. So it is
// done only while bursts bring many ACKs that are refuted (Rooms::acks_refuted). ACKs of IPv6 are
// looked for only if some of them were of IPv6, those with tags only if some had tags
// (Rooms::ack_kinds). Where kinds are mixed, a kernel without branches sorts them.
//
// What its options say does not matter for that: an ACK of another shape is refuted when it fits a
// cookie of neither layout. So options at random, which would be dear to walk, are not walked.
//
// A refuted ACK is not dropped at once, because an earlier ACK of the burst may open the flow that
// it belongs to. It waits for its turn. If the burst has changed the table by then, the ACK is
// parsed and looked up like any other packet (act.cc).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "burst/candidates.h"
#include "burst/columns.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/key_ring.h"

namespace synproxy {

class Moment;
struct Rooms;

// The shapes of an ACK, by its options: timestamps as current stacks write them, or no options.
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

struct AckGroup : ColumnsOfBoth {
  // From verify(), host order:
  alignas(64) Column<std::uint64_t> isn;     // the client's: seq - 1
  alignas(64) Column<std::uint64_t> quoted;  // the proxy's: ack - 1
  // Bit by lane, from the caller, for the row of any options: which have timestamps, and of which
  // that is not known.
  std::uint32_t timestamps_there;
  std::uint32_t unknown;
};

// Keys of one cookie layout, by the parity of their epoch. nullptr: no such epoch is known.
using KeysByParity = std::array<const LayoutKey*, 2>;
// Those that ACKs are checked with now (Moment::keys_to_check).
[[nodiscard]] KeysByParity keys_to_check(const Moment& now, bool timestamps);
struct AckKeys {
  KeysByParity plain;
  KeysByParity timestamps;

  explicit AckKeys(const Moment& now)
      : plain(keys_to_check(now, false)), timestamps(keys_to_check(now, true)) {}
  AckKeys(const KeysByParity& of_plain, const KeysByParity& of_timestamps)
      : plain(of_plain), timestamps(of_timestamps) {}
};

struct AckKernel {
  // Fills the columns. Bit i of the result: lane i is one of `used` and holds a segment of the
  // shape and family, with ACK and without SYN, RST and URG, that is no junk. The caller has
  // checked that the lengths in the frame fit it. kTouched bytes of each frame must be readable,
  // and for IPv6 kIpv6Shift more.
  std::uint32_t (*verify)(AckGroup& g, std::uint32_t used);
  // Returns those of `lanes` for which no cookie fits: neither for ISN seq - 1 nor for ISN seq,
  // with none of `scales` and without a scale.
  std::uint32_t (*refute)(const AckGroup& g, std::uint32_t lanes, const AckKeys& keys,
                          ScaleSet scales);
  // Of `lanes` those whose options may have timestamps: both bytes that begin the option stand side
  // by side somewhere. As long as its TCP header says each frame must be.
  std::uint32_t (*may_have_timestamps)(const AckGroup& g, std::uint32_t lanes);
};

// One kernel for each row of kAckShapes, and one for any options; first of IPv4, then of IPv6. The
// last one is for any options and both families in one group (ColumnsOfBoth).
using AckKernels = std::array<AckKernel, 2 * (kAckShapes.size() + 1) + 1>;

// ACKs by shape, judged by a few bytes; those of no shape stand in the rows for any.
using AckRows = Candidates<kAckShapes.size()>;
struct AckSorter {
  // Finds those of a burst whose lengths fit, of both families and behind tags. Up to kMaxBurst
  // packets.
  void (*sort)(std::span<const Packet> burst, AckRows& found);
};

// Bit i of the result: the i-th packet is refuted and has no flow. No packet is changed. `burst`:
// up to kMaxBurst packets from the client side, with their headers prefetched. Packets of `decided`
// are left out.
[[nodiscard]] std::uint32_t refute_ack_burst(Rooms& rooms, std::span<const Packet> burst,
                                             std::uint32_t decided);

}  // namespace synproxy
