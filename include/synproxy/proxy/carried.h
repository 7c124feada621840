// SPDX-License-Identifier: BSD-3-Clause
// What one engine gives to another one, of any shape, that goes on with its connections: whole, as
// it lies in memory. Both are of the same kStoreVersion, index key, epochs and clock. The taker
// believes nothing: it looks at each piece as at what a store holds (flow/arena.h).
//
// Theory of operation. To enter a million flows into an index takes longer than the gap may be. So
// they are carried in passes, the first ones while the giver still works. A record that it is
// changing at that moment may be carried half old, half new. A book holds a digest of 64 bits of
// what the taker has got of each record. The last pass, when the giver stands still, reads all
// records in order, which takes some milliseconds, and carries those whose digest differs.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/wire/ip_look.h"

namespace synproxy {

struct CarriedFlow {
  FlowRecord record;  // kFree: of what was carried of that record there is nothing left
  AddressBytes client{};
  AddressBytes server{};
  IpLook client_look;
  IpLook server_look;
  Link link;                // of no length: it is forgotten
  FlowIndex index = 0;      // of the giver's record
  std::uint32_t birth = 0;  // in 64 ms of the clock

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

// What was carried of one engine. Made by whoever asks for a hand-over.
struct CarryBook {
  // Throws std::bad_alloc.
  CarryBook(std::uint32_t max_flows, std::uint32_t replay_lines)
      : flows(max_flows), replays(replay_lines) {}

  std::vector<std::uint64_t> flows;                        // digest of each record; 0: nothing
  std::vector<std::uint64_t> replays;                      // of each line of the filter
  FlowIndex flows_end = 0;                                 // nothing at or above it was carried
  std::array<std::uint64_t, LinkTable::kEntries> links{};  // digests, when the pass began
  ReplayEntries replay_entries;
};

}  // namespace synproxy
