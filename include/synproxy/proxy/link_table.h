// SPDX-License-Identifier: BSD-3-Clause
// The Ethernet headers on which connections were opened, for the frames that a timer has to make.
//
// A site has a handful of them (a router and a server each side, per VLAN), so the table is small
// and fixed. Its places follow from a keyed hash, so nobody can choose headers that share a place
// with those of others. When the places of a new header are taken, the one gives way that no
// connection was opened on for the longest time: one of the newcomer's own VLAN if there is one. So
// a host that forges many MAC addresses pushes out headers of its own VLAN.
//
// A connection may outlive its header's place. So the tags of what is found are compared with the
// connection's own: its frames never leave in another VLAN. If they differ, the newest header of
// the connection's VLAN stands in. With one router and one server in a VLAN, that is the right one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "synproxy/base/packet.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// The header of a frame from client to server, tags and EtherType included.
struct LinkHeader {
  std::array<std::uint8_t, kMaxL2Header> bytes{};
  std::uint8_t length = 0;

  // `header`: 14, 18 or 22 bytes of a frame from the client.
  void set(std::span<const std::uint8_t> header) {
    length = static_cast<std::uint8_t>(std::min(header.size(), kMaxL2Header));
    std::memcpy(bytes.data(), header.data(), length);
  }
  // Writes the header of a frame to `to`. Towards the client the addresses are swapped.
  void write(std::uint8_t* frame, Role to) const {
    std::memcpy(frame, bytes.data(), length);
    if (to == Role::kClient) {
      std::memcpy(frame, bytes.data() + ether_at::kSource, kMacAddress);
      std::memcpy(frame + ether_at::kSource, bytes.data(), kMacAddress);
    }
  }
};

class LinkTable {
 public:
  static constexpr std::size_t kEntries = 4096;  // 2^12: FlowRecord::link()
  static constexpr std::size_t kWays = 8;

  // `key`: random.
  explicit LinkTable(const IndexKey& key) : key_(key), entries_(kEntries), newest_(kVlans) {}

  // `header`: 14, 18 or 22 bytes of a frame from the client. `vlan`: its tags.
  [[nodiscard]] std::uint16_t intern(std::span<const std::uint8_t> header, VlanStack vlan) {
    const std::size_t bucket = (hash_of(header) >> 32) % (kEntries / kWays) * kWays;
    std::size_t victim = bucket;
    for (std::size_t i = bucket; i < bucket + kWays; ++i) {
      Entry& e = entries_[i];
      if (e.header.length == 0) return store(i, header, vlan);
      if (e.header.length == header.size() &&
          std::memcmp(e.header.bytes.data(), header.data(), header.size()) == 0) {
        e.used = ++clock_;
        return static_cast<std::uint16_t>(i);
      }
      if (goes_before(e, entries_[victim], vlan)) victim = i;
    }
    return store(victim, header, vlan);
  }
  // The header for a frame of a connection with these tags. nullptr: it is forgotten, and so are
  // all others of its VLAN.
  [[nodiscard]] const LinkHeader* find(std::uint16_t index, VlanStack vlan) const {
    const Entry& e = entries_[index];
    if (e.vlan == vlan && e.header.length != 0) return &e.header;
    const Entry& newest = newest_[place_of(vlan)];
    return newest.vlan == vlan && newest.header.length != 0 ? &newest.header : nullptr;
  }

 private:
  static constexpr std::size_t kVlans = 4096;
  struct Entry {
    LinkHeader header;
    VlanStack vlan;
    std::uint32_t used = 0;  // when a connection was opened on it, by clock_
  };

  // As index_hash().
  [[nodiscard]] std::uint64_t hash_of(std::span<const std::uint8_t> header) const {
    std::array<std::uint64_t, 3> words{};
    std::memcpy(words.data(), header.data(), std::min(header.size(), kMaxL2Header));
    const detail::Uint128 first = detail::wide_product(words[0] + key_[0], words[1] + key_[1]) +
                                  (static_cast<detail::Uint128>(words[2]) << 64);
    const detail::Uint128 second =
        detail::wide_product(detail::low_half(first) + key_[2], detail::high_half(first) + key_[3]);
    return detail::low_half(second) ^ detail::high_half(second);
  }
  // VLANs of one tag each have a place of their own. Stacks of two tags share them by a keyed hash.
  [[nodiscard]] std::size_t place_of(VlanStack vlan) const {
    if (vlan.tags() < 2) return vlan.packed % kVlans;
    const detail::Uint128 product = detail::wide_product(vlan.packed + key_[0], key_[1] | 1);
    return (detail::low_half(product) ^ detail::high_half(product)) >> 40 & (kVlans - 1);
  }
  [[nodiscard]] bool goes_before(const Entry& a, const Entry& b, VlanStack newcomer) const {
    const bool a_own = a.vlan == newcomer;
    const bool b_own = b.vlan == newcomer;
    return a_own != b_own ? a_own : clock_ - a.used > clock_ - b.used;
  }
  std::uint16_t store(std::size_t i, std::span<const std::uint8_t> header, VlanStack vlan) {
    Entry& e = entries_[i];
    e.header.set(header);
    e.vlan = vlan;
    e.used = ++clock_;
    newest_[place_of(vlan)] = e;
    return static_cast<std::uint16_t>(i);
  }

  IndexKey key_;
  std::vector<Entry> entries_;
  std::vector<Entry> newest_;  // of each VLAN
  std::uint32_t clock_ = 0;    // counts connections
};

}  // namespace synproxy
