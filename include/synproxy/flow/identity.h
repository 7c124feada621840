// SPDX-License-Identifier: BSD-3-Clause
// A key as two words. Of IPv4 they are the whole key: the index hash takes them, and the first 16
// bytes of its FlowRecord are the same.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

static_assert(std::endian::native == std::endian::little, "the words below assume it");

// FlowRecord::vlan_and_family. VlanStack::packed ends at bit 27.
inline constexpr std::uint32_t kFamilyIpv6 = 1U << 31;

struct FlowIdentity {
  std::uint64_t addresses = 0;  // low half client, high half server; a digest of them for IPv6
  std::uint64_t ports_and_vlan = 0;

  friend constexpr bool operator==(const FlowIdentity&, const FlowIdentity&) = default;
};
static_assert(offsetof(FlowRecord, client_address) == 0);
static_assert(offsetof(FlowRecord, server_address) == 4);
static_assert(offsetof(FlowRecord, client_port) == 8);
static_assert(offsetof(FlowRecord, server_port) == 10);
static_assert(offsetof(FlowRecord, vlan_and_family) == 12);
static_assert(sizeof(FlowIdentity) == 16);

// Only a filter before whole addresses are compared, so it need not resist collisions.
[[nodiscard]] inline std::uint32_t address_digest(const std::uint8_t* address) {
  const std::uint64_t both =
      load_raw<std::uint64_t>(address) ^ load_raw<std::uint64_t>(address + 8);
  return static_cast<std::uint32_t>(both ^ both >> 32);
}

// Of 16 bytes. Avoids the branch and the call that a comparison of byte arrays compiles to.
[[nodiscard]] inline bool same_address(const std::uint8_t* a, const std::uint8_t* b) {
  return ((load_raw<std::uint64_t>(a) ^ load_raw<std::uint64_t>(b)) |
          (load_raw<std::uint64_t>(a + 8) ^ load_raw<std::uint64_t>(b + 8))) == 0;
}
[[nodiscard]] inline bool same_address(const AddressBytes& a, const std::uint8_t* b) {
  return same_address(a.data(), b);
}
[[nodiscard]] inline bool same_address(const AddressBytes& a, const AddressBytes& b) {
  return same_address(a.data(), b.data());
}

[[nodiscard]] inline FlowIdentity identity_of(const FlowKey& key) {
  const std::uint32_t client =
      key.ipv6 ? address_digest(key.client.data()) : load_raw<std::uint32_t>(key.client.data());
  const std::uint32_t server =
      key.ipv6 ? address_digest(key.server.data()) : load_raw<std::uint32_t>(key.server.data());
  const std::uint32_t tail = key.vlan.packed | (key.ipv6 ? kFamilyIpv6 : 0U);
  return {client | std::uint64_t{server} << 32,
          key.client_port | std::uint64_t{key.server_port} << 16 | std::uint64_t{tail} << 32};
}

// FlowRecord::vlan_and_family.
[[nodiscard]] constexpr std::uint32_t vlan_and_family_of(const FlowIdentity& identity) {
  return static_cast<std::uint32_t>(identity.ports_and_vlan >> 32);
}
[[nodiscard]] constexpr VlanStack vlan_of(const FlowIdentity& identity) {
  return {vlan_and_family_of(identity) & ~kFamilyIpv6};
}
[[nodiscard]] constexpr std::uint16_t server_port_of(const FlowIdentity& identity) {
  return static_cast<std::uint16_t>(identity.ports_and_vlan >> 16);
}

// A key where it lies, in a packet or in a FlowKey. The index hashes and compares it, so nobody has
// to build a FlowKey first. Valid as long as what it points to.
struct KeyView {
  FlowIdentity identity;
  const std::uint8_t* client = nullptr;  // 16 bytes; IPv6 only, as the next
  const std::uint8_t* server = nullptr;

  KeyView() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): one is as good as the other
  KeyView(const FlowKey& key)
      : identity(identity_of(key)), client(key.client.data()), server(key.server.data()) {}
  [[nodiscard]] bool ipv6() const { return identity.ports_and_vlan >> 63 != 0; }
};
static_assert(kFamilyIpv6 == 1U << 31, "the top bit of ports_and_vlan");

// The first 16 bytes of a FlowRecord: what a lookup compares. For IPv6 the whole index_hash()
// stands for the addresses, which lie in an array of their own: to fetch them for each packet as
// well takes 1.2 times the cycles. The hash has a key that nobody knows. So a packet of no flow is
// taken for one of a given flow with a chance of about 2^-63 if all else is the same, and then its
// numbers must fit too.
[[nodiscard]] inline FlowIdentity record_identity(const KeyView& key, std::uint64_t hash) {
  return {key.ipv6() ? hash : key.identity.addresses, key.identity.ports_and_vlan};
}
[[nodiscard]] inline FlowIdentity record_identity(const FlowRecord& record) {
  std::array<std::uint64_t, 2> words;
  std::memcpy(words.data(), &record, sizeof words);
  return {words[0], words[1]};
}

[[nodiscard]] inline bool same_key(const KeyView& a, const KeyView& b) {
  return a.identity == b.identity &&
         (!a.ipv6() || (same_address(a.client, b.client) && same_address(a.server, b.server)));
}

// The server's address, of IPv4 in the first 4 bytes.
[[nodiscard]] inline AddressBytes server_of(const KeyView& key) {
  AddressBytes out{};
  if (key.ipv6()) {
    std::memcpy(out.data(), key.server, out.size());
  } else {
    const auto word = static_cast<std::uint32_t>(key.identity.addresses >> 32);
    std::memcpy(out.data(), &word, sizeof word);
  }
  return out;
}

}  // namespace synproxy
