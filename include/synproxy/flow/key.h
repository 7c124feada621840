// SPDX-License-Identifier: BSD-3-Clause
// The identity of a connection: addresses, ports and VLAN stack, always seen from the client.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "synproxy/wire/vlan.h"

namespace synproxy {

// Network byte order. An IPv4 address takes the first four bytes; the rest is zero.
using AddressBytes = std::array<std::uint8_t, 16>;

struct FlowKey {
  AddressBytes client{};
  AddressBytes server{};
  std::uint16_t client_port = 0;  // host order
  std::uint16_t server_port = 0;  // host order
  VlanStack vlan;
  bool ipv6 = false;

  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

}  // namespace synproxy
