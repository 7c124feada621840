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
  std::array<std::uint32_t, kSynShapes.size()> of_shape{};
  std::uint32_t all_syns = 0;
  std::uint32_t ipv6 = 0;
  for_each_eight(burst, [&](const Outlines& o, std::size_t place) SYNPROXY_LANES_LAMBDA {
    put_frames(found.frames, place, o.frames);
    const U64x8 flags = both(o.flags, all(kAllFlags));
    Mask syns =
        equal(static_cast<Mask>(o.fit & ~o.bad_sum), but_not(flags, all(kEcn)), all(kSynFlag));
    syns = at_least(syns, o.tcp_header, kTcpHeader);
    syns = at_least(syns, o.length, add(o.tcp, o.tcp_header));
    // Those that ask for ECN have no shape.
    const Mask plain = equal(syns, flags, all(kSynFlag));
    const U64x8 shape = look_up(kShapeOfSize, down_by<2>(o.tcp_header));
    for (std::size_t i = 0; i < of_shape.size(); ++i) {
      of_shape[i] |= bits(equal(plain, shape, all(i))) << place;
    }
    all_syns |= bits(syns) << place;
    ipv6 |= bits(o.ipv6) << place;
    found.tagged |= bits(syns & o.tagged) << place;
  });
  found.set(of_shape, all_syns, ipv6);
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
