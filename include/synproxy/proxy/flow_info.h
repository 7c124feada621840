// SPDX-License-Identifier: BSD-3-Clause
// What is shown to people of a worker's tables.
//
// A connection as it is shown to people: a copy of what its record says, made by the worker that
// owns it. Sequence numbers are left out, so that whoever may read cannot forge segments.
//
// Not kept, so not here: how many packets it had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"

namespace synproxy {

// The proxy sends it to its commands as it lies in memory.
struct FlowInfo {
  AddressBytes client{};
  AddressBytes server{};
  std::uint16_t client_port = 0;
  std::uint16_t server_port = 0;
  std::uint32_t vlan = 0;   // VlanStack::packed
  FlowIndex index = 0;      // of its record
  std::uint32_t delta = 0;  // server's ISN - cookie, as in FlowRecord
  std::uint32_t ts_delta = 0;
  std::uint32_t age_seconds = 0;  // since the connection began, or was found
  std::uint32_t idle_ms = 0;      // since the last segment; once probed, since the probe
  std::uint32_t from_client = 0;  // bytes of payload, modulo 2^32
  std::uint32_t from_server = 0;
  std::uint16_t progress = 0;  // FlowRecord::progress
  std::uint8_t state = 0;      // FlowState
  std::uint8_t options = 0;    // FlowRecord::options
  std::uint8_t scales = 0;     // FlowRecord::scales
  std::uint8_t offered_scale = 0;
  std::uint8_t ipv6 = 0;
  std::uint8_t worker = 0;  // modulo 2^8

  [[nodiscard]] FlowKey key() const {
    return {client, server, client_port, server_port, VlanStack{vlan}, ipv6 != 0};
  }
};
static_assert(std::is_trivially_copyable_v<FlowInfo> && sizeof(FlowInfo) == 76);

// What a worker has learned of a server, for the flags that are `auto`. Sent as it lies in memory.
struct ServiceInfo {
  AddressBytes address{};
  std::uint32_t vlan = 0;  // VlanStack::packed
  std::uint16_t port = 0;  // 0: the host, on ports that have not answered
  std::uint16_t mss = 0;   // 0: not learned
  std::uint8_t window_scale = 0;
  std::uint8_t timestamps = 0;
  std::uint8_t sack = 0;
  std::uint8_t ecn = 0;
  std::uint8_t ipv6 = 0;
  std::uint8_t worker = 0;  // modulo 2^8
  std::uint16_t unused = 0;
};
static_assert(std::is_trivially_copyable_v<ServiceInfo> && sizeof(ServiceInfo) == 32);

// A slice of a table.
struct FlowSlice {
  std::size_t count = 0;     // of entries copied
  FlowIndex next = kNoFlow;  // where the next slice begins; kNoFlow: this was the last one
};

}  // namespace synproxy
