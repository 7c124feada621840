// SPDX-License-Identifier: BSD-3-Clause
// The Ethernet headers between which connections run, for the frames that the proxy makes.
//
// A site has a handful of them (a router and a server each side, per VLAN), so the table is small
// and fixed. When a hash bucket is full an old entry is overwritten: a flow whose entry was lost
// gets its next made frame addressed wrongly, unless a segment of its own comes first, and nothing
// else happens to it.
#pragma once

#include <cstdint>
#include <vector>

#include "synproxy/base/packet.h"
#include "synproxy/proxy/link_header.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

// The headers of both directions. They need not mirror each other: a balancer may hand over what a
// router takes back, and a cluster listens at a group address.
struct alignas(64) Link {
  LinkHeader to_server;
  LinkHeader to_client;

  [[nodiscard]] const LinkHeader& to(Role role) const {
    return role == Role::kServer ? to_server : to_client;
  }
  friend bool operator==(const Link&, const Link&) = default;
};

// The link after a frame of `sender` with another header than the last one. The other direction
// keeps what it has seen, except for an address that has just been replaced here.
[[nodiscard]] inline Link moved(Link link, Role sender, const LinkHeader& seen) {
  const bool from_client = sender == Role::kClient;
  LinkHeader& here = from_client ? link.to_server : link.to_client;
  LinkHeader& there = from_client ? link.to_client : link.to_server;
  const auto follow = [](std::uint8_t* address, const std::uint8_t* old, const std::uint8_t* now) {
    if (same_mac(address, old)) std::memcpy(address, now, kMacAddress);
  };
  follow(there.destination(), here.source(), seen.source());
  follow(there.source(), here.destination(), seen.destination());
  make_single_station(there.source());
  here = seen;
  return link;
}

class LinkTable {
 public:
  static constexpr std::size_t kEntries = 4096;  // 2^12: FlowRecord::link()
  static constexpr std::size_t kWays = 4;

  LinkTable() : entries_(kEntries) {}

  [[nodiscard]] std::uint16_t intern(const Link& link) {
    const std::size_t bucket = bucket_of(link);
    for (std::size_t i = bucket; i < bucket + kWays; ++i) {
      if (entries_[i].to_server.length == 0) return store(i, link);
      if (entries_[i] == link) return static_cast<std::uint16_t>(i);
    }
    return store(bucket + victim_++ % kWays, link);
  }
  [[nodiscard]] const Link& operator[](std::uint16_t index) const { return entries_[index]; }

 private:
  [[nodiscard]] static std::size_t bucket_of(const Link& link) {
    std::uint64_t h = link.to_server.length;
    for (const LinkHeader* header : {&link.to_server, &link.to_client}) {
      for (std::size_t i = 0; i + 2 <= header->length; i += 2) {
        h = (h ^ load_raw<std::uint16_t>(header->bytes.data() + i)) * 0x9e3779b97f4a7c15ULL;
      }
    }
    return (h >> 40) % (kEntries / kWays) * kWays;
  }
  std::uint16_t store(std::size_t i, const Link& link) {
    entries_[i] = link;
    return static_cast<std::uint16_t>(i);
  }

  std::vector<Link> entries_;
  std::size_t victim_ = 0;
};

}  // namespace synproxy
