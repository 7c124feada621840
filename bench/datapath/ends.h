// SPDX-License-Identifier: BSD-3-Clause
// Who talks to whom on connection `n`, and with which numbers. All of this follows from n, and
// looks random.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "synproxy/wire/bytes.h"
#include "unit/flow/random_keys.h"

namespace synproxy::bench {

using test::scrambled;

inline constexpr std::uint64_t kConnections = 1ULL << 44;  // n is below

class Random {
 public:
  explicit Random(std::uint64_t seed) : counter_(scrambled(seed)) {}
  std::uint64_t next() { return scrambled(++counter_); }
  std::uint32_t next32() { return static_cast<std::uint32_t>(next()); }
  // From [0, limit), limit below 2^32.
  std::uint32_t below(std::uint64_t limit) {
    return static_cast<std::uint32_t>((next() >> 32) * limit >> 32);
  }
  std::uint64_t connection() { return next() % kConnections; }

 private:
  std::uint64_t counter_;
};

// The first 4 or all 16 bytes of an address count.
struct Ends {
  std::array<std::uint8_t, 16> client{};
  std::array<std::uint8_t, 16> server{};
  std::uint16_t client_port = 0;
  std::uint16_t server_port = 0;
};

// The protected services: 8 ports of each address, at most 64 in all.
inline constexpr std::uint16_t kFirstPort = 8000;
[[nodiscard]] inline std::uint32_t service_of(std::uint64_t n, std::uint32_t services) {
  return static_cast<std::uint32_t>(scrambled(n ^ 0x5e41ce5ULL) % services);
}

[[nodiscard]] inline Ends ends_of(std::uint64_t n, bool ipv6, std::uint32_t services) {
  // A bijection of 44 bits, so that no two connections have the same address and port.
  constexpr std::uint64_t kMask = kConnections - 1;
  std::uint64_t x = n * 0x9e3779b97f4a7c15ULL & kMask;
  x = (x ^ x >> 22) * 0xbf58476d1ce4e5b9ULL & kMask;
  x ^= x >> 22;
  Ends ends;
  const std::uint32_t service = service_of(n, services);
  if (ipv6) {
    ends.client = {0x20, 0x01, 0x0d, 0xb8};
    store_be<std::uint64_t>(&ends.client[8], scrambled(x >> 15));
    ends.server = {0x20, 0x01, 0x0d, 0xb8, 0, 1};
    ends.server[15] = static_cast<std::uint8_t>(8 + service / 8);
  } else {
    // 32.0.0.0/3: unicast throughout.
    store_be<std::uint32_t>(ends.client.data(), 0x20000000U | static_cast<std::uint32_t>(x >> 15));
    ends.server = {203, 0, 113, static_cast<std::uint8_t>(8 + service / 8)};
  }
  ends.client_port = static_cast<std::uint16_t>(0x8000U | (x & 0x7fffU));
  ends.server_port = static_cast<std::uint16_t>(kFirstPort + service % 8);
  return ends;
}

[[nodiscard]] inline std::uint32_t client_isn(std::uint64_t n) {
  return static_cast<std::uint32_t>(scrambled(n ^ 0xc11e47ULL << 40));
}
[[nodiscard]] inline std::uint32_t server_isn(std::uint64_t n) {
  return static_cast<std::uint32_t>(scrambled(n ^ 0x5e4e4ULL << 40));
}
[[nodiscard]] inline std::uint32_t client_clock(std::uint64_t n, std::uint64_t now_ms) {
  return static_cast<std::uint32_t>(scrambled(n ^ 0xc10cULL << 44) + now_ms);
}
[[nodiscard]] inline std::uint32_t server_clock(std::uint64_t n, std::uint64_t now_ms) {
  return static_cast<std::uint32_t>(scrambled(n ^ 0x5c10cULL << 44) + now_ms);
}
// Three clients in four have timestamps.
[[nodiscard]] inline bool has_timestamps(std::uint64_t n) {
  return (scrambled(n ^ 0x7157ULL << 40) & 3U) != 0;
}

}  // namespace synproxy::bench
