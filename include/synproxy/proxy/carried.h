// SPDX-License-Identifier: BSD-3-Clause
// What one engine gives to another one, of any shape, that goes on with its connections: whole, as
// it lies in memory. Both are of the same kStoreVersion, index key, epochs and clock. The taker
// believes nothing: it looks at each piece as at what a store holds (flow/arena.h).
#pragma once

#include <cstdint>
#include <type_traits>

#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/wire/ip_look.h"

namespace synproxy {

struct CarriedFlow {
  FlowRecord record;
  AddressBytes client{};
  AddressBytes server{};
  IpLook client_look;
  IpLook server_look;
  Link link;  // of no length: it is forgotten

  // Of the addresses here and the rest of the record.
  [[nodiscard]] FlowKey key() const {
    const bool ipv6 = (record.vlan_and_family & kFamilyIpv6) != 0;
    return {client,
            server,
            record.client_port,
            record.server_port,
            VlanStack{record.vlan_and_family & ~kFamilyIpv6},
            ipv6};
  }
};
static_assert(std::is_trivially_copyable_v<CarriedFlow> && sizeof(CarriedFlow) == 192);

}  // namespace synproxy
