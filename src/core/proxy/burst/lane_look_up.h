// SPDX-License-Identifier: BSD-3-Clause
// Looks things up lane by lane: the service of each lane, and whether it has a flow.
#pragma once

#include <span>

#include "burst/columns.h"
#include "burst/rooms.h"
#include "synproxy/proxy/arrival.h"

namespace synproxy {

class LaneLookUp {
 public:
  using Hashes = Columns::Column<std::uint64_t>;

  LaneLookUp(Rooms& rooms, std::span<const Packet> burst)
      : rooms_(rooms),
        burst_(burst),
        noted_(burst.front().arrival != nullptr && burst.back().arrival != nullptr) {}

  // Calls use(lane, offer) for each of `lanes` whose service has a cached offer. Returns the lanes
  // for which use() was true, and prefetches their buckets.
  // All lanes are of one family.
  template <bool kIpv6, typename Use>
  [[nodiscard]] std::uint32_t begin(const Columns& c, std::uint32_t lanes, Hashes& hashes,
                                    Use&& use) {
    std::uint32_t kept = lanes;
    for_each_lane(lanes, [&](std::size_t lane) {
      const std::uint8_t* server = kIpv6 ? ip_of(c, lane) + ipv6_at::kDestination : nullptr;
      if (c.service[lane] != service_ || offer_ == nullptr || !is_same<kIpv6>(server)) {
        service_ = c.service[lane];
        server_ = server;
        offer_ = rooms_.answerer.known_offer(rooms_.now, service_, server, {});
      }
      if (offer_ == nullptr || !use(lane, *offer_)) {
        kept &= ~(1U << lane);
        return;
      }
      hashes[lane] = hash_of<kIpv6>(c, lane);
      rooms_.flows.prefetch_bucket(hashes[lane]);
    });
    return kept;
  }

  // Returns those of `lanes` that certainly have no flow.
  [[nodiscard]] std::uint32_t without_flow(const Hashes& hashes, std::uint32_t lanes) const {
    std::uint32_t kept = lanes;
    for_each_lane(lanes, [&](std::size_t lane) {
      if (rooms_.flows.prefetch_record(hashes[lane])) kept &= ~(1U << lane);
    });
    return kept;
  }

 private:
  [[nodiscard]] static const std::uint8_t* ip_of(const Columns& c, std::size_t lane) {
    return c.frames[lane] + kEthernetHeader;
  }
  // The name of an IPv6 service has only a digest of its address.
  template <bool kIpv6>
  [[nodiscard]] bool is_same(const std::uint8_t* server) const {
    return !kIpv6 || same_address(server, server_);
  }
  template <bool kIpv6>
  [[nodiscard]] std::uint64_t hash_of(const Columns& c, std::size_t lane) const {
    if (noted_) [[unlikely]] {
      // Each frame has a note of its own. A buffer without room for one is the exception.
      if (const Arrival* found = burst_[c.places[lane]].arrival) return found->hash;
    }
    KeyView key;
    key.identity.addresses = c.addresses[lane];
    key.identity.ports_and_vlan = static_cast<std::uint32_t>(c.ports[lane]);
    if constexpr (kIpv6) {
      key.identity.ports_and_vlan |= std::uint64_t{kFamilyIpv6} << 32;
      key.client = ip_of(c, lane) + ipv6_at::kSource;
      key.server = ip_of(c, lane) + ipv6_at::kDestination;
    }
    return rooms_.flows.hash_of(key);
  }

  Rooms& rooms_;
  const std::span<const Packet> burst_;
  const bool noted_;                      // the steering has hashed these frames already
  ServiceName service_ = 0;               // of the previous lane
  const std::uint8_t* server_ = nullptr;  // its address, IPv6 only
  const SynAckOffer* offer_ = nullptr;
};

}  // namespace synproxy
