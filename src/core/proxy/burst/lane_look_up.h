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

  // Calls use(lane, offer) for each of `lanes` whose service is protected and in no doubt. Returns
  // the lanes for which use() was true, and prefetches their buckets.
  // All lanes are of one family.
  template <bool kIpv6, typename Use>
  [[nodiscard]] std::uint32_t begin(Columns& c, std::uint32_t lanes, Hashes& hashes, Use&& use) {
    return c.tagged ? begin<kIpv6, true>(c, lanes, hashes, use)
                    : begin<kIpv6, false>(c, lanes, hashes, use);
  }

  // The same for lanes of both families.
  template <typename Use>
  [[nodiscard]] std::uint32_t begin_both(ColumnsOfBoth& c, std::uint32_t lanes, Hashes& hashes,
                                         Use&& use) {
    return begin<false>(c, lanes & ~c.ipv6_lanes, hashes, use) |
           begin<true>(c, lanes & c.ipv6_lanes, hashes, use);
  }

  // Returns those of `lanes` that certainly have no flow.
  [[nodiscard]] std::uint32_t without_flow(const Hashes& hashes, std::uint32_t lanes) const {
    using enum FlowTable::Maybe;
    std::uint32_t doubtful = 0;
    std::uint32_t elsewhere = 0;
    for_each_lane(lanes, [&](std::size_t lane) {
      const FlowTable::Maybe maybe = rooms_.flows.prefetch_record(hashes[lane]);
      if (maybe != kNowhere) (maybe == kHome ? doubtful : elsewhere) |= 1U << lane;
    });
    // In a full table every hundredth bucket or so has a flow that stands elsewhere. One packet
    // that is left to the other stages costs as much as many.
    for_each_lane(elsewhere, [&](std::size_t lane) {
      if (rooms_.flows.may_be_elsewhere(hashes[lane])) doubtful |= 1U << lane;
    });
    return lanes & ~doubtful;
  }

 private:
  template <bool kIpv6, bool kTagged, typename Use>
  [[nodiscard]] std::uint32_t begin(Columns& c, std::uint32_t lanes, Hashes& hashes, Use&& use) {
    // A prefetch waits until its page is found. Where a lane takes many instructions, the core has
    // no room for those of two, so all are asked for together.
    constexpr bool kTogether = kIpv6 || kTagged;
    // Whether a frame is of the last one's service cannot be predicted where services are mixed, so
    // either all are of one, or each is looked up.
    const bool one = c.one_service;
    const SynAckOffer* offer = nullptr;
    if (one && lanes != 0) {
      offer = offer_of<kIpv6, kTagged>(c, static_cast<std::size_t>(std::countr_zero(lanes)));
    }
    std::uint32_t kept = lanes;
    for_each_lane(lanes, [&](std::size_t lane) {
      if (!one) offer = offer_of<kIpv6, kTagged>(c, lane);
      if (offer == nullptr || !use(lane, *offer)) {
        kept &= ~(1U << lane);
        return;
      }
      hashes[lane] = hash_of<kIpv6, kTagged>(c, lane);
      if constexpr (!kTogether) rooms_.flows.prefetch_bucket(hashes[lane]);
    });
    if constexpr (kTogether) {
      for_each_lane(kept, [&](std::size_t lane) { rooms_.flows.prefetch_bucket(hashes[lane]); });
    }
    return kept;
  }
  // What the service of a lane offers. nullptr: it is not protected, or may be in doubt.
  template <bool kIpv6, bool kTagged>
  [[nodiscard]] const SynAckOffer* offer_of(const Columns& c, std::size_t lane) {
    const std::uint8_t* server = kIpv6 ? ip_of(c, lane) + ipv6_at::kDestination : nullptr;
    const SynAckOffer* known =
        rooms_.answerer.known_offer(rooms_.now, c.service[lane], server, vlan_of<kTagged>(c, lane));
    return known != nullptr ? known : new_offer(c, lane, kIpv6);
  }
  // Makes the offer for a service that has none in the cache: where there are many of them, as
  // VLANs at random make it, each SYN meets another.
  [[nodiscard, gnu::noinline]] const SynAckOffer* new_offer(const Columns& c, std::size_t lane,
                                                            bool ipv6) {
    if (rooms_.answerer.doubts().any()) return nullptr;
    const KeyView key = key_of_any(c, lane, ipv6);
    const Arrival* const found = burst_[c.places[lane]].arrival;
    const std::uint8_t* server = ip_of(c, lane) + ip_destination_at(ipv6);
    const bool is_protected =
        found != nullptr ? found->owned
                         : rooms_.protect.matches(server, ipv6, server_port_of(key.identity));
    if (!is_protected) return nullptr;
    return &rooms_.answerer.offer(rooms_.now, key, c.service[lane]);
  }

  [[nodiscard]] static const std::uint8_t* ip_of(const Columns& c, std::size_t lane) {
    return c.frames[lane] + kEthernetHeader;
  }
  template <bool kTagged>
  [[nodiscard]] static VlanStack vlan_of(const Columns& c, std::size_t lane) {
    return kTagged ? VlanStack{static_cast<std::uint32_t>(c.vlan[lane])} : VlanStack{};
  }
  template <bool kIpv6, bool kTagged>
  [[nodiscard]] static KeyView key_of(const Columns& c, std::size_t lane) {
    KeyView key;
    key.identity.addresses = c.addresses[lane];
    key.identity.ports_and_vlan = static_cast<std::uint32_t>(c.ports[lane]);
    if constexpr (kTagged) {
      key.identity.ports_and_vlan |= std::uint64_t{vlan_of<true>(c, lane).packed} << 32;
    }
    if constexpr (kIpv6) {
      key.identity.ports_and_vlan |= std::uint64_t{kFamilyIpv6} << 32;
      key.client = ip_of(c, lane) + ipv6_at::kSource;
      key.server = ip_of(c, lane) + ipv6_at::kDestination;
    }
    return key;
  }
  [[nodiscard]] static KeyView key_of_any(const Columns& c, std::size_t lane, bool ipv6) {
    if (c.tagged) return ipv6 ? key_of<true, true>(c, lane) : key_of<false, true>(c, lane);
    return ipv6 ? key_of<true, false>(c, lane) : key_of<false, false>(c, lane);
  }
  template <bool kIpv6, bool kTagged>
  [[nodiscard]] std::uint64_t hash_of(const Columns& c, std::size_t lane) const {
    if (noted_) [[unlikely]] {
      // Each frame has a note of its own. A buffer without room for one is the exception.
      if (const Arrival* found = burst_[c.places[lane]].arrival) return found->hash;
    }
    return rooms_.flows.hash_of(key_of<kIpv6, kTagged>(c, lane));
  }

  Rooms& rooms_;
  const std::span<const Packet> burst_;
  const bool noted_;  // the steering has hashed these frames already
};

}  // namespace synproxy
