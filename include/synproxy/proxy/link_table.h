// SPDX-License-Identifier: BSD-3-Clause
// The Ethernet headers on which connections were opened, for the frames that a timer has to make.
//
// A site has a handful of them (a router and a server each side, per VLAN), so the table is small
// and fixed. When a hash bucket is full an old entry is overwritten: a flow whose entry was lost
// gets its next timer-made frame addressed wrongly, and nothing else happens to it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "synproxy/base/packet.h"
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
  static constexpr std::size_t kWays = 4;

  LinkTable() : entries_(kEntries) {}

  // `header`: 14, 18 or 22 bytes of a frame from the client.
  [[nodiscard]] std::uint16_t intern(std::span<const std::uint8_t> header) {
    std::uint64_t h = header.size();
    for (std::size_t i = 0; i + 2 <= header.size(); i += 2) {
      h = (h ^ load_raw<std::uint16_t>(header.data() + i)) * 0x9e3779b97f4a7c15ULL;
    }
    const std::size_t bucket = (h >> 40) % (kEntries / kWays) * kWays;
    for (std::size_t i = bucket; i < bucket + kWays; ++i) {
      LinkHeader& e = entries_[i];
      if (e.length == 0) return store(i, header);
      if (e.length == header.size() &&
          std::memcmp(e.bytes.data(), header.data(), header.size()) == 0) {
        return static_cast<std::uint16_t>(i);
      }
    }
    return store(bucket + victim_++ % kWays, header);
  }
  [[nodiscard]] const LinkHeader& operator[](std::uint16_t index) const { return entries_[index]; }

 private:
  std::uint16_t store(std::size_t i, std::span<const std::uint8_t> header) {
    entries_[i].set(header);
    return static_cast<std::uint16_t>(i);
  }

  std::vector<LinkHeader> entries_;
  std::size_t victim_ = 0;
};

}  // namespace synproxy
