// SPDX-License-Identifier: BSD-3-Clause
// Makes the key of a flow from a packet of either side, or from the packet that an ICMP error
// quotes.
#pragma once

#include <bit>
#include <cstring>

#include "synproxy/base/packet.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/policy/vlan_pairs.h"
#include "synproxy/wire/icmp.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

inline void make_key(FlowKey& key, const std::uint8_t* client, const std::uint8_t* server,
                     std::uint16_t client_port, std::uint16_t server_port, bool ipv6,
                     VlanStack vlan) {
  key = FlowKey{};
  const std::size_t size = ip_address_size(ipv6);
  std::memcpy(key.client.data(), client, size);
  std::memcpy(key.server.data(), server, size);
  key.client_port = client_port;
  key.server_port = server_port;
  key.vlan = vlan;
  key.ipv6 = ipv6;
}

// A flow is known by the tags of its client's frames. For every parsed frame, before its key is
// made.
inline void name_vlan(Segment& s, Role sender, const VlanPairs& pairs) {
  s.vlan = pairs.as_clients(s.vlan, sender);
}

// The key of the flow of a segment that `sender` sent.
inline void key_of(const Segment& s, Role sender, FlowKey& out) {
  if (sender == Role::kClient) {
    make_key(out, s.source(), s.destination(), s.source_port(), s.destination_port(), s.ipv6,
             s.vlan);
  } else {
    make_key(out, s.destination(), s.source(), s.destination_port(), s.source_port(), s.ipv6,
             s.vlan);
  }
}

// The same key as a view of the packet. Its identity equals identity_of() of the key.
[[nodiscard]] inline KeyView key_view(const Segment& s, Role sender) {
  KeyView v;
  const bool from_client = sender == Role::kClient;
  v.client = from_client ? s.source() : s.destination();
  v.server = from_client ? s.destination() : s.source();
  if (s.ipv6) {
    v.identity.addresses = address_digest(v.client) | std::uint64_t{address_digest(v.server)} << 32;
  } else {
    const auto both = load_raw<std::uint64_t>(s.source());
    v.identity.addresses = from_client ? both : std::rotl(both, 32);
  }
  const std::uint32_t ports = s.ports.host();  // source above destination
  const std::uint32_t tail = s.vlan.packed | (s.ipv6 ? kFamilyIpv6 : 0U);
  v.identity.ports_and_vlan = (from_client ? std::rotl(ports, 16) : ports) | std::uint64_t{tail}
                                                                                 << 32;
  return v;
}

// An ICMP error travels against the packet that it quotes. An error from the client side quotes a
// segment that the server sent.
inline void key_of(const Segment& icmp, const QuotedSegment& q, Role sender, FlowKey& out) {
  const std::uint8_t* ip = icmp.frame + q.ip_offset;
  const std::uint8_t* source = ip + ip_source_at(icmp.ipv6);
  const std::uint8_t* destination = ip + ip_destination_at(icmp.ipv6);
  if (sender == Role::kClient) {
    make_key(out, destination, source, q.destination_port, q.source_port, icmp.ipv6, icmp.vlan);
  } else {
    make_key(out, source, destination, q.source_port, q.destination_port, icmp.ipv6, icmp.vlan);
  }
}

}  // namespace synproxy
