// SPDX-License-Identifier: BSD-3-Clause
// The key of a flow from a packet of either side, or from what an ICMP error quotes.
#pragma once

#include <array>
#include <cstring>

#include "synproxy/flow/key.h"
#include "synproxy/proxy/packet.h"
#include "synproxy/wire/icmp.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// One store of sixteen bytes, so that whoever reads the key next does not wait for pieces to be
// joined.
inline void set_address(AddressBytes& out, const std::uint8_t* address, bool ipv6) {
  if (ipv6) {
    std::memcpy(out.data(), address, out.size());
  } else {
    const std::array<std::uint32_t, 4> words{load_raw<std::uint32_t>(address), 0, 0, 0};
    std::memcpy(out.data(), words.data(), out.size());
  }
}

inline void make_key(FlowKey& key, const std::uint8_t* client, const std::uint8_t* server,
                     std::uint16_t client_port, std::uint16_t server_port, bool ipv6,
                     VlanStack vlan) {
  set_address(key.client, client, ipv6);
  set_address(key.server, server, ipv6);
  key.client_port = client_port;
  key.server_port = server_port;
  key.vlan = vlan;
  key.ipv6 = ipv6;
}

// `side`: where the packet came from.
inline void key_of(const Segment& s, Side side, FlowKey& out) {
  if (side == Side::kClient) {
    make_key(out, s.source(), s.destination(), s.source_port, s.destination_port, s.ipv6, s.vlan);
  } else {
    make_key(out, s.destination(), s.source(), s.destination_port, s.source_port, s.ipv6, s.vlan);
  }
}

// An error travels against the packet that it quotes: what comes from the client side quotes a
// segment that the server sent.
inline void key_of(const Segment& icmp, const QuotedSegment& q, Side side, FlowKey& out) {
  const std::uint8_t* ip = icmp.frame + q.ip_offset;
  const std::uint8_t* source = ip + (icmp.ipv6 ? 8 : 12);
  const std::uint8_t* destination = ip + (icmp.ipv6 ? 24 : 16);
  if (side == Side::kClient) {
    make_key(out, destination, source, q.destination_port, q.source_port, icmp.ipv6, icmp.vlan);
  } else {
    make_key(out, source, destination, q.source_port, q.destination_port, icmp.ipv6, icmp.vlan);
  }
}

}  // namespace synproxy
