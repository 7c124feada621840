// SPDX-License-Identifier: BSD-3-Clause
// What the clients of one worker have felt: how long they waited, as histograms, for all services
// together and for the busiest ones apart. Only that worker writes; any thread may read.
//
// A service that is found anew may take the place of one that is idle (src/core/proxy/felt). Then
// the counts of the old one go to `other`, so that no sum over the services ever falls. `version`
// is odd meanwhile, and a reader who finds it odd or changed leaves the place out.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "synproxy/base/counter.h"

namespace synproxy {

// Upper ends of the ranges of a histogram, milliseconds. What is above the last one is a range too.
inline constexpr auto kFeltBoundsMs = std::to_array<std::uint32_t>(
    {1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000});
inline constexpr std::size_t kFeltRanges = kFeltBoundsMs.size() + 1;

[[nodiscard]] constexpr std::size_t felt_range(std::uint32_t ms) {
  std::size_t range = 0;
  while (range < kFeltBoundsMs.size() && ms > kFeltBoundsMs[range]) ++range;
  return range;
}

struct FeltTimes {
  std::array<Counter, kFeltRanges> ranges;
  Counter sum_ms;

  void add(std::uint32_t ms) {
    ranges[felt_range(ms)].add(1);
    sum_ms.add(ms);
  }
};

struct Felt {
  FeltTimes handshake;   // from our SYN-ACK to the valid ACK
  FeltTimes first_byte;  // from that ACK to the server's first byte
  Counter syn_repeats;   // SYNs that those clients had sent again
};

struct FeltService {
  // Address in network order (IPv4: the lower half of the first word); then port, bit 16 set for
  // IPv6, and the packed VLAN stack in the upper half. Of a service with a name: its number, from 1
  // on, and kNamed in the last word. All 0: a free place.
  using Name = std::array<std::uint64_t, 3>;
  static constexpr std::uint64_t kIpv6 = 1U << 16;
  static constexpr std::uint64_t kNamed = 1U << 17;

  std::atomic<std::uint64_t> version{0};
  std::array<Counter, 3> name;
  Felt felt;
};

struct FeltCounters {
  static constexpr std::size_t kServices = 32;

  Felt all;
  Felt other;  // of services without a place
  std::array<FeltService, kServices> services;
};

}  // namespace synproxy
