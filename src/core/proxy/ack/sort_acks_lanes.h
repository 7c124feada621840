// SPDX-License-Identifier: BSD-3-Clause
// The kernel that sorts ACKs by family and shape (ack_burst.h), for the sources that compile it.
#pragma once

#include "burst/kernels.h"
#include "burst/outlines_lanes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

SYNPROXY_KERNEL void sort_acks(std::span<const Packet> burst, AckRows& found) {
  static_assert(kAckShapes[0].timestamps && !kAckShapes[1].timestamps && kAckShapes.size() == 2);
  constexpr std::uint64_t kKind = be16(kSyn | kRst | kAck).raw();
  constexpr std::uint64_t kAckFlag = be16(kAck).raw();
  constexpr WordForm kStamped = form_of(kAckShapes[0].options.words[0]);
  sort_outlines(burst, found, [&](const Outlines& o, auto&& note) SYNPROXY_LANES_LAMBDA {
    Mask acks = equal(o.fit, both(o.flags, all(kKind)), all(kAckFlag));
    acks = at_least(acks, o.tcp_header, kTcpHeader);
    acks = at_least(acks, o.ip_end, add(o.tcp, o.tcp_header));
    acks = at_least(acks, o.length, o.ip_end);
    const auto of_size = [&](const AckShape& shape) SYNPROXY_LANES_LAMBDA {
      return equal(acks, o.tcp_header, all(shape.tcp_header));
    };
    const U64x8 begin = both(o.options, all(be32(kStamped.mask).raw()));
    note(0, equal(of_size(kAckShapes[0]), begin, all(be32(kStamped.fixed).raw())));
    note(1, of_size(kAckShapes[1]));
    return acks;
  });
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
