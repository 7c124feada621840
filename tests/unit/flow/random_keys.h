// SPDX-License-Identifier: BSD-3-Clause
// Keys for the tests and benches of the flow table, distinct by construction.
#pragma once

#include <cstdint>
#include <cstring>

#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/key.h"

namespace synproxy::test {

inline constexpr IndexKey kTestIndexKey = {0x8f1d6b0c25e3a947U, 0x30c9e6f4d7125b8aU,
                                           0xd46e0b9327f8c15dU, 0x5ba2f07e98c4163fU};

// SplitMix64's step: a bijection, so that different inputs stay different.
[[nodiscard]] constexpr std::uint64_t scrambled(std::uint64_t v) {
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9U;
  v = (v ^ v >> 27) * 0x94d049bb133111ebU;
  return v ^ v >> 31;
}

// One server, and clients of any address and port. Every n below 2^48 gives a different key.
[[nodiscard]] inline FlowKey ipv4_key(std::uint64_t n) {
  FlowKey key;
  // Odd multiplier: a bijection of the low 48 bits.
  const std::uint64_t mixed = n * 0x9e3779b97f4a7c15U & 0xffffffffffffU;
  const auto client = static_cast<std::uint32_t>(mixed >> 16);
  const std::uint32_t server = 0x0a0a0a0aU;
  std::memcpy(key.client.data(), &client, sizeof client);
  std::memcpy(key.server.data(), &server, sizeof server);
  key.client_port = static_cast<std::uint16_t>(mixed);
  key.server_port = 443;
  return key;
}

// Every n gives a different key.
[[nodiscard]] inline FlowKey ipv6_key(std::uint64_t n) {
  FlowKey key;
  key.ipv6 = true;
  const std::uint64_t low = scrambled(n);
  key.client = {0x20, 0x01, 0x0d, 0xb8};
  key.server = {0x20, 0x01, 0x0d, 0xb8, 0, 1};
  std::memcpy(key.client.data() + 8, &low, sizeof low);
  key.server.back() = 1;
  key.client_port = static_cast<std::uint16_t>(1024 + n % 60000);
  key.server_port = 443;
  return key;
}

// A small world in which addresses, ports, VLANs and families meet in every combination: 2^12 keys.
[[nodiscard]] inline FlowKey mixed_key(std::uint32_t n) {
  FlowKey key;
  key.ipv6 = (n & 1) != 0;
  key.client[0] = static_cast<std::uint8_t>(n >> 1 & 7);
  key.server[3] = static_cast<std::uint8_t>(n >> 4 & 3);
  key.client_port = static_cast<std::uint16_t>(1000 + (n >> 6 & 3));
  key.server_port = (n >> 8 & 1) != 0 ? 80 : 443;
  for (std::uint32_t tag = 0; tag < (n >> 9 & 3) && tag < kMaxVlanTags; ++tag) {
    key.vlan = key.vlan.pushed(kEtherTypeVlan, static_cast<std::uint16_t>(100 + tag));
  }
  if ((n >> 9 & 3) == 3) key.vlan = key.vlan.pushed(kEtherTypeQinQ, 7);
  if (key.ipv6) key.client[15] = static_cast<std::uint8_t>(n >> 11 & 1);
  if (!key.ipv6) key.client[3] = static_cast<std::uint8_t>(n >> 11 & 1);
  return key;
}
inline constexpr std::uint32_t kMixedKeys = 1U << 12;

[[nodiscard]] inline std::uint64_t hash_of(const FlowKey& key) {
  return index_hash(kTestIndexKey, key);
}

}  // namespace synproxy::test
