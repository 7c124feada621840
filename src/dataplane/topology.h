// SPDX-License-Identifier: BSD-3-Clause
// Stands between the ports and the engine: says who sent a frame, and by which port it leaves.
//
// Theory of operation. A port knows where a frame came in; the engine needs to know who sent it
// (Role). A burst is first divided by role (by_sender), then steered to the workers that own its
// flows, then decided by the engine. A frame leaves by out_port() of the role that it goes to, and
// to_wire() makes the link-layer rewrite that this port needs. So neither the engine nor the
// steering knows how many ports there are, and neither the ports nor the queues know what a client
// is.
//
// The only topology so far is inline. Two ports make a bump in the wire: whoever sends by the
// client port is a client, and MAC addresses stay as they are. Both steps then cost nothing
// (bench/steering_bench.cc).
#pragma once

#include <cstdint>

#include "base/port_id.h"
#include "synproxy/base/packet.h"

struct rte_mbuf;

namespace synproxy::dataplane {

class InlineTopology {
 public:
  // Frames of one burst by their sender: those of clients come first.
  struct Senders {
    std::uint16_t clients = 0;
    std::uint16_t servers = 0;
  };
  // Puts the frames of each role together; the order within a role stays.
  [[nodiscard]] static Senders by_sender(PortId in, rte_mbuf** /*frames*/, std::uint16_t n) {
    return in == PortId::kClient ? Senders{n, 0} : Senders{0, n};
  }

  // Whether frames of that sender can come by that port at all. This decides who polls what, and
  // which queues may hold SYNs to be shed.
  [[nodiscard]] static constexpr bool may_send_by(Role sender, PortId port) {
    return out_port(sender) == port;
  }

  // Where frames for that role leave.
  [[nodiscard]] static constexpr PortId out_port(Role to) {
    return to == Role::kClient ? PortId::kClient : PortId::kServer;
  }

  // Makes the link-layer header what the port's link needs; the frame leaves by out_port(to).
  static void to_wire(Role /*to*/, rte_mbuf& /*frame*/) {}
};

using Topology = InlineTopology;

}  // namespace synproxy::dataplane
