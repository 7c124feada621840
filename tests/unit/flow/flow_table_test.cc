// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::hash_of;
using test::ipv4_key;
using test::ipv6_key;

FlowIndex insert(FlowTable& table, const FlowKey& key) { return table.insert(key, hash_of(key)); }
FlowIndex find(const FlowTable& table, const FlowKey& key) { return table.find(key, hash_of(key)); }
void erase(FlowTable& table, const FlowKey& key) { table.erase(find(table, key), hash_of(key)); }

TEST(FlowTable, EmptyTableFindsNothing) {
  const FlowTable table(100);
  EXPECT_EQ(find(table, ipv4_key(1)), kNoFlow);
  EXPECT_EQ(find(table, FlowKey{}), kNoFlow);
  EXPECT_EQ(table.find(FlowKey{}, 0), kNoFlow);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.capacity(), 100U);
  EXPECT_EQ(table.high_water(), 0U);
}

TEST(FlowTable, InsertedRecordHoldsItsIdentityAndNothingElse) {
  FlowTable table(4);
  FlowKey key = ipv4_key(1);
  key.vlan = key.vlan.pushed(kEtherTypeQinQ, 12).pushed(kEtherTypeVlan, 34);
  // A record whose every byte was used before.
  const FlowIndex used = insert(table, ipv4_key(2));
  std::memset(&table[used].client_isn, 0xa5, sizeof(FlowRecord) - offsetof(FlowRecord, client_isn));
  erase(table, ipv4_key(2));

  const FlowIndex index = insert(table, key);
  ASSERT_EQ(index, used);
  FlowRecord expected;
  std::memcpy(&expected.client_address, key.client.data(), 4);
  std::memcpy(&expected.server_address, key.server.data(), 4);
  expected.client_port = key.client_port;
  expected.server_port = key.server_port;
  expected.vlan_and_family = key.vlan.packed;
  EXPECT_EQ(std::memcmp(&table[index], &expected, sizeof expected), 0);
}

TEST(FlowTable, KeyOfGivesBackTheKey) {
  FlowTable table(4);
  FlowKey tagged = ipv6_key(3);
  tagged.vlan = tagged.vlan.pushed(kEtherTypeQinQ, 0xfff).pushed(kEtherTypeQinQ, 1);
  for (const FlowKey& key : {ipv4_key(1), ipv6_key(2), tagged}) {
    EXPECT_EQ(table.key_of(insert(table, key)), key);
  }
}

TEST(FlowTable, ErasedKeyIsGoneAndItsRecordFree) {
  FlowTable table(4);
  const FlowIndex index = insert(table, ipv4_key(1));
  table[index].become_spliced(FlowState::kEstablished, {});
  erase(table, ipv4_key(1));
  EXPECT_EQ(find(table, ipv4_key(1)), kNoFlow);
  EXPECT_EQ(table[index].state(), FlowState::kFree);
  EXPECT_EQ(table.size(), 0U);
}

TEST(FlowTable, KeysOneBitApartAreTwoConnections) {
  FlowTable table(2);
  for (const FlowKey& key : {ipv4_key(9), ipv6_key(9)}) {
    const FlowIndex index = insert(table, key);
    // Bucket and tag agree, so only the comparison of the keys can tell them apart: for IPv6, with
    // what is left of the hash.
    const std::uint64_t hash = hash_of(key);
    constexpr std::uint64_t kRest = 0xffff0000U;
    const auto is_other = [&](FlowKey other) {
      const std::uint64_t rest = other.ipv6 ? hash_of(other) & kRest : hash & kRest;
      return table.find(other, (hash & ~kRest) | rest) == kNoFlow;
    };
    ASSERT_EQ(table.find(key, hash), index);
    for (std::size_t bit = 0; bit < (key.ipv6 ? 128U : 32U); ++bit) {
      FlowKey other = key;
      other.client[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      EXPECT_TRUE(is_other(other)) << "client address, bit " << bit;
      other = key;
      other.server[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      EXPECT_TRUE(is_other(other)) << "server address, bit " << bit;
    }
    for (unsigned bit = 0; bit < 16; ++bit) {
      FlowKey other = key;
      other.client_port = static_cast<std::uint16_t>(other.client_port ^ 1U << bit);
      EXPECT_TRUE(is_other(other)) << "client port, bit " << bit;
      other = key;
      other.server_port = static_cast<std::uint16_t>(other.server_port ^ 1U << bit);
      EXPECT_TRUE(is_other(other)) << "server port, bit " << bit;
    }
    for (unsigned bit = 0; bit < 28; ++bit) {
      FlowKey other = key;
      other.vlan.packed ^= 1U << bit;
      EXPECT_TRUE(is_other(other)) << "VLANs, bit " << bit;
    }
    erase(table, key);
  }
}

TEST(FlowTable, FamilyTellsConnectionsOfEqualWordsApart) {
  // The digest of this IPv6 pair is exactly the pair of IPv4 addresses.
  FlowKey v4;
  v4.client = {1, 2, 3, 4};
  v4.server = {5, 6, 7, 8};
  FlowKey v6 = v4;
  v6.ipv6 = true;
  ASSERT_EQ(identity_of(v4).addresses, identity_of(v6).addresses);
  FlowTable table(4);
  const FlowIndex first = table.insert(v4, 42);
  EXPECT_EQ(table.find(v6, 42), kNoFlow);
  const FlowIndex second = table.insert(v6, 42);
  EXPECT_EQ(table.find(v4, 42), first);
  EXPECT_EQ(table.find(v6, 42), second);
}

// No lookup reads the addresses of IPv6: the bits of the hash that name neither bucket nor tag tell
// two keys of one bucket and tag apart.
TEST(FlowTable, Ipv6KeysOfOneBucketAndTagAreToldApartByTheRestOfTheirHash) {
  // Swapped words of an address have the same digest, which is a xor.
  FlowKey a = ipv6_key(1);
  FlowKey b = a;
  std::memcpy(b.client.data(), a.client.data() + 8, 8);
  std::memcpy(b.client.data() + 8, a.client.data(), 8);
  FlowKey c = a;
  std::memcpy(c.server.data(), a.server.data() + 4, 4);
  std::memcpy(c.server.data() + 4, a.server.data(), 4);
  ASSERT_EQ(identity_of(a), identity_of(b));
  ASSERT_EQ(identity_of(a), identity_of(c));
  FlowTable table(8);
  constexpr std::uint64_t kHashA = 0x1111222233334445U;
  constexpr std::uint64_t kHashB = kHashA ^ 1U << 16;
  constexpr std::uint64_t kHashC = kHashA ^ 1U << 31;
  const FlowIndex at_a = table.insert(a, kHashA);
  EXPECT_EQ(table.find(b, kHashB), kNoFlow);
  const FlowIndex at_b = table.insert(b, kHashB);
  const FlowIndex at_c = table.insert(c, kHashC);
  EXPECT_EQ(table.find(a, kHashA), at_a);
  EXPECT_EQ(table.find(b, kHashB), at_b);
  EXPECT_EQ(table.find(c, kHashC), at_c);
  table.erase(at_a, kHashA);
  EXPECT_EQ(table.find(a, kHashA), kNoFlow);
  EXPECT_EQ(table.find(b, kHashB), at_b);
  EXPECT_EQ(table.key_of(at_b), b);
  EXPECT_EQ(table.key_of(at_c), c);
}

TEST(FlowTable, RecordFreedLastIsUsedFirst) {
  FlowTable table(8);
  for (std::uint64_t n = 0; n < 6; ++n) insert(table, ipv4_key(n));
  erase(table, ipv4_key(1));
  erase(table, ipv4_key(3));
  EXPECT_EQ(insert(table, ipv4_key(10)), 3U);
  EXPECT_EQ(insert(table, ipv4_key(11)), 1U);
  EXPECT_EQ(insert(table, ipv4_key(12)), 6U);
}

TEST(FlowTable, HighWaterFallsWhenTheUppermostRecordsAreFreed) {
  FlowTable table(100);
  for (std::uint64_t n = 0; n < 50; ++n) insert(table, ipv4_key(n));
  EXPECT_EQ(table.high_water(), 50U);
  // Frees in every order: holes first, then the record above them.
  for (const std::uint64_t n : {46U, 48U, 47U}) erase(table, ipv4_key(n));
  EXPECT_EQ(table.high_water(), 50U);
  erase(table, ipv4_key(49));
  EXPECT_EQ(table.high_water(), 46U);
  // Unlinked records are used again in order, and none twice.
  EXPECT_EQ(insert(table, ipv4_key(100)), 46U);
  EXPECT_EQ(insert(table, ipv4_key(101)), 47U);
  EXPECT_EQ(table.size(), 48U);
}

TEST(FlowTable, RecordsUnlinkedFromTheMiddleOfTheFreeListLeaveItWhole) {
  FlowTable table(100);
  for (std::uint64_t n = 0; n < 10; ++n) ASSERT_EQ(insert(table, ipv4_key(n)), n);
  // The list is then 9, 2, 8, 7, 1, of which 9, 8 and 7 go.
  for (const std::uint64_t n : {1U, 7U, 8U, 2U, 9U}) erase(table, ipv4_key(n));
  EXPECT_EQ(table.high_water(), 7U);
  for (const FlowIndex expected : {2U, 1U, 7U, 8U}) {
    EXPECT_EQ(insert(table, ipv4_key(100 + expected)), expected);
  }
  EXPECT_EQ(table.high_water(), 9U);
}

TEST(FlowTable, HighWaterReachesZeroAgain) {
  FlowTable table(1000);
  for (std::uint64_t n = 0; n < 1000; ++n) insert(table, ipv4_key(n));
  // The worst order: high_water() cannot fall before the last erase, which may take only a few
  // steps.
  for (std::uint64_t n = 0; n < 1000; ++n) erase(table, ipv4_key(n));
  EXPECT_EQ(table.size(), 0U);
  for (std::uint64_t n = 0; n < 1000; ++n) {
    insert(table, ipv4_key(n));
    erase(table, ipv4_key(n));
  }
  EXPECT_EQ(table.high_water(), 0U);
}

TEST(FlowTable, PrefetchesOfAnythingAreHarmless) {
  FlowTable table(20);
  for (std::uint64_t n = 0; n < 20; ++n) {
    insert(table, n % 2 == 0 ? ipv4_key(n) : ipv6_key(n));
    for (std::uint64_t m = 0; m < 40; ++m) {
      const std::uint64_t hash = hash_of(m % 2 == 0 ? ipv4_key(m) : ipv6_key(m));
      table.prefetch_bucket(hash);
      table.prefetch_record(hash);
    }
  }
  EXPECT_EQ(table.size(), 20U);
}

TEST(FlowTable, RoomForNoFlowRefusesEach) {
  FlowTable table(0);
  EXPECT_EQ(insert(table, ipv4_key(1)), kNoFlow);
  EXPECT_EQ(find(table, ipv4_key(1)), kNoFlow);
}

TEST(FlowTable, AFlowTakesAtMostEightyBytes) {
  for (const std::uint32_t flows : {1000U, 1000000U, 10000000U}) {
    const FlowTable table(flows);
    EXPECT_LE(table.bytes(), std::size_t{flows} * 80);
    EXPECT_EQ(table.ipv6_bytes(), std::size_t{flows} * 32);
  }
  EXPECT_LT(FlowTable(10000000).bytes(), std::size_t{1} << 30);
}

}  // namespace
}  // namespace synproxy
