// SPDX-License-Identifier: BSD-3-Clause
// A client is its address and port. Everything else about it follows by a hash: its initial
// sequence number, its timestamp, whether its handshake is to be completed. So the generator needs
// no table to know what an answer must say.
#pragma once

#include <cstdint>

namespace synproxy::generator {

// In host order; for IPv6 the low half, because the high half is the same for all clients.
struct Tuple {
  std::uint64_t address = 0;
  std::uint16_t port = 0;
};

struct Numbers {
  std::uint32_t isn = 0;
  std::uint32_t tsval = 0;
};

// Folds the high and low halves of a product: one multiplication, and every bit counts.
[[nodiscard]] inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// The numbers that a client draws; with another constant for `of`, those of a server.
enum class Of : std::uint64_t { kClient = 0x9e3779b97f4a7c15, kServer = 0xd1b54a32d192ed03 };
[[nodiscard]] inline Numbers numbers_of(const Tuple& t, Of of = Of::kClient) {
  const std::uint64_t key = static_cast<std::uint64_t>(of);
  const std::uint64_t hash =
      mix(mix(t.address ^ 0xa0761d6478bd642fU, key ^ t.port), 0xe7037ed1a0b428dbU);
  return {static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32)};
}

// Addresses tell whose an answer is. Those of a flood are in 128.0.0.0/3 or, for IPv6, in the lower
// half of their /64; those of played clients are in 160.0.0.0/3 or the upper half.
inline constexpr std::uint64_t kFloodBase4 = 0x80000000U;
inline constexpr std::uint64_t kPlayedBase4 = 0xa0000000U;
inline constexpr std::uint64_t kHostMask4 = 0x1fffffffU;
inline constexpr std::uint64_t kPlayedBit6 = std::uint64_t{1} << 63;
inline constexpr std::uint16_t kFirstPort = 1024;

[[nodiscard]] inline std::uint64_t address_of(std::uint64_t random, bool ipv6, bool played) {
  if (ipv6) return (random & ~kPlayedBit6) | (played ? kPlayedBit6 : 0U);
  return (played ? kPlayedBase4 : kFloodBase4) | (random & kHostMask4);
}
[[nodiscard]] inline bool is_played(std::uint64_t address, bool ipv6) {
  return ipv6 ? (address & kPlayedBit6) != 0 : (address & ~kHostMask4) == kPlayedBase4;
}

// wyrand: a weyl sequence through mix().
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  [[nodiscard]] std::uint64_t next() {
    state_ += 0xa0761d6478bd642fU;
    return mix(state_, state_ ^ 0xe7037ed1a0b428dbU);
  }
  // 0 <= result < n
  [[nodiscard]] std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((next() >> 32) * n >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace synproxy::generator
