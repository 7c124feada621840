// SPDX-License-Identifier: BSD-3-Clause
// The Ethernet header of a frame, tags and EtherType included, and the one that answers it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/base/wide_product.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/policy/vlan_pairs.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"

namespace synproxy {

struct LinkHeader {
  std::array<std::uint8_t, kMaxL2Header> bytes{};
  std::uint8_t length = 0;  // 14, 18 or 22; 0: none

  LinkHeader() = default;
  explicit LinkHeader(std::span<const std::uint8_t> header) { set(header); }

  void set(std::span<const std::uint8_t> header) {
    length = static_cast<std::uint8_t>(std::min(header.size(), kMaxL2Header));
    std::memcpy(bytes.data(), header.data(), length);
  }
  void write(std::uint8_t* frame) const { std::memcpy(frame, bytes.data(), length); }

  [[nodiscard]] std::uint8_t* destination() { return bytes.data() + ether_at::kDestination; }
  [[nodiscard]] std::uint8_t* source() { return bytes.data() + ether_at::kSource; }
  [[nodiscard]] const std::uint8_t* destination() const { return bytes.data(); }
  [[nodiscard]] const std::uint8_t* source() const { return bytes.data() + ether_at::kSource; }

  // Whether `frame` has the same addresses, and the same EtherType or first TPID.
  [[nodiscard]] bool is_of(const std::uint8_t* frame) const {
    static_assert(ether_at::kType + 2 == 6 + 8);
    return ((load_raw<std::uint64_t>(bytes.data()) ^ load_raw<std::uint64_t>(frame)) |
            (load_raw<std::uint64_t>(bytes.data() + 6) ^ load_raw<std::uint64_t>(frame + 6))) == 0;
  }
  // Bytes behind `length` are 0, so that whole arrays can be compared.
  friend bool operator==(const LinkHeader&, const LinkHeader&) = default;
};

// As index_hash(): nobody without the key can choose headers that meet.
[[nodiscard]] inline std::uint64_t keyed_hash(const IndexKey& key, const LinkHeader& header) {
  std::array<std::uint64_t, 3> words{};
  std::memcpy(words.data(), header.bytes.data(), header.bytes.size());
  const Uint128 first =
      wide_product(words[0] + key[0], words[1] + key[1]) + (static_cast<Uint128>(words[2]) << 64);
  return folded_product(low_half(first) + key[2], high_half(first) + key[3]);
}

[[nodiscard]] inline bool same_mac(const std::uint8_t* a, const std::uint8_t* b) {
  return std::memcmp(a, b, kMacAddress) == 0;
}

// A group address names no sender (IEEE 802 section 8.2.2). Stations behind one, as in a cluster,
// are answered for under the address of one station: without the group bit, locally administered,
// as Network Load Balancing builds its own.
inline void make_single_station(std::uint8_t* mac) {
  if ((mac[0] & kGroupAddress) == 0) return;
  constexpr std::uint8_t kLocallyAdministered = 2;
  mac[0] = static_cast<std::uint8_t>((mac[0] & ~kGroupAddress) | kLocallyAdministered);
}

// The header of an answer to a frame of `sender` with `header`, as long as nobody has shown
// another.
[[nodiscard]] inline LinkHeader answer_to(const LinkHeader& header, Role sender,
                                          const VlanPairs& pairs) {
  LinkHeader out = header;
  std::memcpy(out.destination(), header.source(), kMacAddress);
  std::memcpy(out.source(), header.destination(), kMacAddress);
  make_single_station(out.source());
  if (pairs.empty()) return out;
  for (std::size_t at = kEthernetHeader; at + kVlanTag <= out.length; at += kVlanTag) {
    std::uint8_t* const tci = out.bytes.data() + at + vlan_at::kTci;
    const auto before = load_be<std::uint16_t>(tci);
    constexpr std::uint16_t kVid = 0xfff;
    const std::uint16_t vid = pairs.answering(before & kVid, sender);
    store_be<std::uint16_t>(tci, static_cast<std::uint16_t>((before & ~kVid) | vid));
  }
  return out;
}

}  // namespace synproxy
