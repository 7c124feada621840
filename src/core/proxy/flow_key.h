// SPDX-License-Identifier: BSD-3-Clause
// The key of a flow from a packet of either side, or from what an ICMP error quotes.
#pragma once

#include <cstring>

#include "synproxy/flow/key.h"
#include "synproxy/proxy/packet.h"
#include "synproxy/wire/icmp.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

[[nodiscard]] inline FlowKey make_key(const std::uint8_t* client, const std::uint8_t* server,
                                      std::uint16_t client_port, std::uint16_t server_port,
                                      bool ipv6, VlanStack vlan) {
  FlowKey key;
  if (ipv6) {
    std::memcpy(key.client.data(), client, 16);
    std::memcpy(key.server.data(), server, 16);
  } else {
    std::memcpy(key.client.data(), client, 4);
    std::memcpy(key.server.data(), server, 4);
  }
  key.client_port = client_port;
  key.server_port = server_port;
  key.vlan = vlan;
  key.ipv6 = ipv6;
  return key;
}

// `side`: where the packet came from.
[[nodiscard]] inline FlowKey key_of(const Segment& s, Side side) {
  if (side == Side::kClient) {
    return make_key(s.source(), s.destination(), s.source_port, s.destination_port, s.ipv6, s.vlan);
  }
  return make_key(s.destination(), s.source(), s.destination_port, s.source_port, s.ipv6, s.vlan);
}

// An error travels against the packet that it quotes: what comes from the client side quotes a
// segment that the server sent.
[[nodiscard]] inline FlowKey key_of(const Segment& icmp, const QuotedSegment& q, Side side) {
  const std::uint8_t* ip = icmp.frame + q.ip_offset;
  const std::uint8_t* source = ip + (icmp.ipv6 ? 8 : 12);
  const std::uint8_t* destination = ip + (icmp.ipv6 ? 24 : 16);
  if (side == Side::kClient) {
    return make_key(destination, source, q.destination_port, q.source_port, icmp.ipv6, icmp.vlan);
  }
  return make_key(source, destination, q.source_port, q.destination_port, icmp.ipv6, icmp.vlan);
}

}  // namespace synproxy
