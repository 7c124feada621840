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
  // All lanes are of one family. Puts the tags into Columns::service.
  template <bool kIpv6, typename Use>
  [[nodiscard]] std::uint32_t begin(Columns& c, std::uint32_t lanes, Hashes& hashes, Use&& use) {
    return c.tagged ? begin<kIpv6, true>(c, lanes, hashes, use)
                    : begin<kIpv6, false>(c, lanes, hashes, use);
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
  template <bool kIpv6, bool kTagged, typename Use>
  [[nodiscard]] std::uint32_t begin(Columns& c, std::uint32_t lanes, Hashes& hashes, Use&& use) {
    std::uint32_t kept = lanes;
    for_each_lane(lanes, [&](std::size_t lane) {
      if constexpr (kTagged) c.service[lane] |= name_of_tags(vlan_of<true>(c, lane));
      const std::uint8_t* server = kIpv6 ? ip_of(c, lane) + ipv6_at::kDestination : nullptr;
      if (c.service[lane] != service_ || offer_ == nullptr ||
          !is_same<kIpv6, kTagged>(server, vlan_of<kTagged>(c, lane))) {
        service_ = c.service[lane];
        server_ = server;
        vlan_ = vlan_of<kTagged>(c, lane);
        offer_ = rooms_.answerer.known_offer(rooms_.now, service_, server, vlan_);
        if (offer_ == nullptr) offer_ = new_offer(c, lane, kIpv6);
      }
      if (offer_ == nullptr || !use(lane, *offer_)) {
        kept &= ~(1U << lane);
        return;
      }
      hashes[lane] = hash_of<kIpv6, kTagged>(c, lane);
      rooms_.flows.prefetch_bucket(hashes[lane]);
    });
    return kept;
  }
  // Makes the offer for a service that has none in the cache: where there are many of them, as
  // VLANs at random make it, each SYN meets another. nullptr: it is not protected, or may be in
  // doubt.
  [[nodiscard, gnu::noinline]] const SynAckOffer* new_offer(const Columns& c, std::size_t lane,
                                                            bool ipv6) {
    if (rooms_.answerer.doubts().any()) return nullptr;
    const KeyView key = ipv6 ? key_of<true, true>(c, lane) : key_of<false, true>(c, lane);
    const Arrival* const found = burst_[c.places[lane]].arrival;
    const std::uint8_t* server = ip_of(c, lane) + ip_destination_at(ipv6);
    const bool is_protected =
        found != nullptr ? found->owned
                         : rooms_.protect.matches(server, ipv6, server_port_of(key.identity));
    if (!is_protected) return nullptr;
    return &rooms_.answerer.offer(rooms_.now, key, service_);
  }

  [[nodiscard]] static const std::uint8_t* ip_of(const Columns& c, std::size_t lane) {
    return c.frames[lane] + kEthernetHeader;
  }
  template <bool kTagged>
  [[nodiscard]] static VlanStack vlan_of(const Columns& c, std::size_t lane) {
    return kTagged && c.tagged ? VlanStack{static_cast<std::uint32_t>(c.vlan[lane])} : VlanStack{};
  }
  // The name of a service has only a digest of an IPv6 address, and of tags.
  template <bool kIpv6, bool kTagged>
  [[nodiscard]] bool is_same(const std::uint8_t* server, VlanStack vlan) const {
    return (!kIpv6 || same_address(server, server_)) && (!kTagged || vlan == vlan_);
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
  const bool noted_;                      // the steering has hashed these frames already
  ServiceName service_ = 0;               // of the previous lane
  const std::uint8_t* server_ = nullptr;  // its address, IPv6 only
  VlanStack vlan_;
  const SynAckOffer* offer_ = nullptr;
};

}  // namespace synproxy
