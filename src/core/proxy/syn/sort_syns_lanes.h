// SPDX-License-Identifier: BSD-3-Clause
// The kernel that sorts SYNs by family and shape (syn_burst.h), for the sources that compile it.
#pragma once

#include "burst/kernels.h"
#include "burst/outlines_lanes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

SYNPROXY_KERNEL void sort_syns(std::span<const Packet> burst, SynRows& found) {
  constexpr std::uint64_t kSynFlag = be16(kSyn).raw();
  constexpr std::uint64_t kAllFlags = be16(static_cast<std::uint16_t>(~kTcpOffsetBits)).raw();
  constexpr std::uint64_t kEcn = be16(kAnyEcn).raw();
  sort_outlines(burst, found, [&](const Outlines& o, auto&& note) SYNPROXY_LANES_LAMBDA {
    const U64x8 flags = both(o.flags, all(kAllFlags));
    Mask syns =
        equal(static_cast<Mask>(o.fit & ~o.bad_sum), but_not(flags, all(kEcn)), all(kSynFlag));
    syns = at_least(syns, o.tcp_header, kTcpHeader);
    syns = at_least(syns, o.length, add(o.tcp, o.tcp_header));
    // Those that ask for ECN have no shape.
    const Mask plain = equal(syns, flags, all(kSynFlag));
    const U64x8 shape = look_up(kShapeOfSize, down_by<2>(o.tcp_header));
    for (std::size_t i = 0; i < kSynShapes.size(); ++i) note(i, equal(plain, shape, all(i)));
    return syns;
  });
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
