// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/identity.h"

#include <gtest/gtest.h>

#include "random_keys.h"
#include "synproxy/flow/table.h"

namespace synproxy {
namespace {

using test::ipv4_key;
using test::ipv6_key;

FlowKey tagged(FlowKey key) {
  key.vlan.packed = 0x0fff'f064;
  return key;
}

TEST(Identity, SaysWhatTheKeySays) {
  for (const FlowKey& key : {ipv4_key(7), ipv6_key(7), tagged(ipv4_key(8)), tagged(ipv6_key(8))}) {
    const KeyView view = key;
    EXPECT_EQ(view.ipv6(), key.ipv6);
    EXPECT_EQ(server_of(view), key.server);
    EXPECT_EQ(server_port_of(view.identity), key.server_port);
    EXPECT_EQ(vlan_of(view.identity).packed, key.vlan.packed);
    FlowTable table(16);
    const std::uint64_t hash = index_hash(test::kTestIndexKey, view);
    const FlowRecord& record = table[table.insert(key, hash)];
    EXPECT_EQ(record_identity(record), record_identity(view, hash));
    EXPECT_EQ(record_identity(record).ports_and_vlan, view.identity.ports_and_vlan);
    EXPECT_EQ(record_identity(record).addresses, key.ipv6 ? hash : view.identity.addresses);
  }
}

TEST(Identity, KeysAreTheSameOnlyInEveryPart) {
  for (const FlowKey& key : {ipv4_key(7), ipv6_key(7), tagged(ipv6_key(8))}) {
    EXPECT_TRUE(same_key(key, FlowKey(key)));
    FlowKey other = key;
    other.client_port = static_cast<std::uint16_t>(key.client_port + 1);
    EXPECT_FALSE(same_key(key, other));
    other = key;
    other.server_port = static_cast<std::uint16_t>(key.server_port + 1);
    EXPECT_FALSE(same_key(key, other));
    other = key;
    other.vlan.packed ^= 1;
    EXPECT_FALSE(same_key(key, other));
    for (std::size_t byte = 0; byte < (key.ipv6 ? 16U : 4U); ++byte) {
      other = key;
      other.client[byte] ^= 1;
      EXPECT_FALSE(same_key(key, other)) << byte;
      other = key;
      other.server[byte] ^= 1;
      EXPECT_FALSE(same_key(key, other)) << byte;
    }
  }
  FlowKey of_ipv6;
  of_ipv6.ipv6 = true;
  EXPECT_FALSE(same_key(FlowKey{}, of_ipv6));
}

// The digest of an address is short: an attacker finds another address that has the same.
TEST(Identity, ADigestAloneDoesNotMakeKeysTheSame) {
  const FlowKey key = ipv6_key(7);
  FlowKey other = key;
  other.client[0] ^= 1;
  other.client[8] ^= 1;
  EXPECT_EQ(identity_of(other), identity_of(key));
  EXPECT_FALSE(same_key(key, other));
}

}  // namespace
}  // namespace synproxy
