// SPDX-License-Identifier: BSD-3-Clause
// The Ethernet headers between which connections run, for the frames that the proxy makes.
//
// A site has a handful of them (a router and a server each side, per VLAN), so the table is small
// and fixed. Its places follow from a keyed hash, so nobody can choose headers that share a place
// with those of others. When the places of a new header are taken, the one gives way that no
// connection was opened on for the longest time: one of the newcomer's own VLAN if there is one. So
// a host that forges many MAC addresses pushes out headers of its own VLAN.
//
// A connection may outlive its header's place. So the tags of what is found are compared with the
// connection's own: its frames never leave in another VLAN. If they differ, the newest header of
// the connection's VLAN stands in. With one router and one server in a VLAN that is the right one.
// Elsewhere it may be wrong until the connection's next segment.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/base/wide_product.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/link_header.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

// The headers of both directions. They need not mirror each other: a balancer may hand over what a
// router takes back, and a cluster listens at a group address.
struct Link {
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
  static constexpr std::size_t kWays = 8;

  // `key`: random. Throws std::bad_alloc.
  explicit LinkTable(const IndexKey& key, Arena* arena = nullptr)
      : key_(key),
        memory_(memory_from(arena, (kEntries + kVlans) * sizeof(Entry), Mapping::Kind::kReserved)),
        entries_(static_cast<Entry*>(memory_.data()), kEntries),
        newest_(entries_.data() + kEntries, kVlans) {}
  // Of an arena.
  [[nodiscard]] static std::size_t store_bytes() {
    return Arena::taken_by((kEntries + kVlans) * sizeof(Entry));
  }
  // Takes over what stands in the arena: once, before anything else. Drops headers that no frame of
  // their VLAN can have.
  void restore() {
    for (Entry& e : entries_) {
      if (e.is_free()) continue;
      if (!is_sound(e)) e = {};
      clock_ = std::max(clock_, e.used);
    }
    for (std::size_t i = 0; i < kVlans; ++i) {
      Entry& e = newest_[i];
      if (!e.is_free() && !(is_sound(e) && place_of(e.vlan) == i)) e = {};
    }
  }

  // `vlan`: the tags of frames from the client.
  [[nodiscard]] std::uint16_t intern(const Link& link, VlanStack vlan) {
    if (Entry& last = entries_[last_]; !last.is_free() && last.link == link) {
      last.used = ++clock_;
      return last_;
    }
    const std::size_t bucket = (hash_of(link) >> 32) % (kEntries / kWays) * kWays;
    std::size_t victim = bucket;
    for (std::size_t i = bucket; i < bucket + kWays; ++i) {
      Entry& e = entries_[i];
      if (e.is_free()) return store(i, link, vlan);
      if (e.link == link) {
        e.used = ++clock_;
        return last_ = static_cast<std::uint16_t>(i);
      }
      if (goes_before(e, entries_[victim], vlan)) victim = i;
    }
    return store(victim, link, vlan);
  }
  // The same for a link of another table, if frames of that VLAN can have it.
  [[nodiscard]] std::optional<std::uint16_t> adopt(const Link& link, VlanStack vlan) {
    if (!is_sound({link, vlan})) return std::nullopt;
    return intern(link, vlan);
  }
  // The link of a connection with these tags. nullptr: it is forgotten, and so are all others of
  // its VLAN.
  [[nodiscard]] const Link* find(std::uint16_t index, VlanStack vlan) const {
    const Entry& e = entries_[index];
    if (e.vlan == vlan && !e.is_free()) return &e.link;
    const Entry& newest = newest_[place_of(vlan)];
    return newest.vlan == vlan && !newest.is_free() ? &newest.link : nullptr;
  }
  // Of what stands at the index.
  [[nodiscard]] std::uint64_t digest_at(std::size_t index) const {
    return hash_of(entries_[index].link) ^ entries_[index].vlan.packed;
  }
  // What stands at the index, of whatever connection it is. Only to be compared.
  [[nodiscard]] const Link& at(std::uint16_t index) const { return entries_[index].link; }

 private:
  static constexpr std::size_t kVlans = 4096;
  struct alignas(64) Entry {
    Link link;
    VlanStack vlan;
    std::uint32_t used = 0;  // when a connection was opened on it, by clock_

    [[nodiscard]] bool is_free() const { return link.to_server.length == 0; }
  };

  // Where VLANs are paired, frames to the client have other VIDs.
  [[nodiscard]] static bool is_sound(const Entry& e) {
    VlanStack to_server;
    VlanStack to_client;
    return read_tags(e.link.to_server, to_server) && read_tags(e.link.to_client, to_client) &&
           to_server == e.vlan && to_client.tags() == e.vlan.tags();
  }
  // False: no frame has that header.
  [[nodiscard]] static bool read_tags(const LinkHeader& header, VlanStack& out) {
    const std::size_t length = header.length;
    if (length < kEthernetHeader || length > kMaxL2Header) return false;
    if ((length - kEthernetHeader) % kVlanTag != 0) return false;
    const std::uint8_t* const bytes = header.bytes.data();
    for (std::size_t at = kEthernetHeader; at < length; at += kVlanTag) {
      const auto tpid = load_be<std::uint16_t>(bytes + at - 2);
      if (tpid != kEtherTypeVlan && tpid != kEtherTypeQinQ) return false;
      out = out.pushed(tpid, load_be<std::uint16_t>(bytes + at));
    }
    return std::all_of(bytes + length, bytes + kMaxL2Header, [](std::uint8_t b) { return b == 0; });
  }
  // As index_hash().
  [[nodiscard]] std::uint64_t hash_of(const Link& link) const {
    return keyed_hash(key_, link.to_server) ^
           keyed_hash({key_[2], key_[3], key_[0], key_[1]}, link.to_client);
  }
  // VLANs of one tag each have a place of their own. Stacks of two tags share them by a keyed hash.
  [[nodiscard]] std::size_t place_of(VlanStack vlan) const {
    if (vlan.tags() < 2) return vlan.packed % kVlans;
    return folded_product(vlan.packed + key_[0], key_[1] | 1) >> 40 & (kVlans - 1);
  }
  [[nodiscard]] bool goes_before(const Entry& a, const Entry& b, VlanStack newcomer) const {
    const bool a_own = a.vlan == newcomer;
    const bool b_own = b.vlan == newcomer;
    return a_own != b_own ? a_own : clock_ - a.used > clock_ - b.used;
  }
  std::uint16_t store(std::size_t i, const Link& link, VlanStack vlan) {
    entries_[i] = {link, vlan, ++clock_};
    newest_[place_of(vlan)] = entries_[i];
    return last_ = static_cast<std::uint16_t>(i);
  }

  IndexKey key_;
  Mapping memory_;
  std::span<Entry> entries_;
  std::span<Entry> newest_;  // of each VLAN
  std::uint32_t clock_ = 0;  // counts connections
  std::uint16_t last_ = 0;   // the next connection most likely has the same
};

}  // namespace synproxy
