// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/index_hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <unordered_set>
#include <vector>

#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::hash_of;
using test::ipv4_key;
using test::ipv6_key;
using test::kTestIndexKey;

// Every key that differs from `key` in one bit of one field that identifies a connection.
std::vector<FlowKey> one_bit_away(const FlowKey& key) {
  std::vector<FlowKey> keys;
  const auto with = [&](const std::function<void(FlowKey&)>& change) {
    FlowKey changed = key;
    change(changed);
    keys.push_back(changed);
  };
  const std::size_t address_bytes = key.ipv6 ? 16 : 4;
  for (std::size_t bit = 0; bit < address_bytes * 8; ++bit) {
    const auto flip = static_cast<std::uint8_t>(1U << (bit % 8));
    with([&](FlowKey& k) { k.client[bit / 8] ^= flip; });
    with([&](FlowKey& k) { k.server[bit / 8] ^= flip; });
  }
  for (unsigned bit = 0; bit < 16; ++bit) {
    with(
        [&](FlowKey& k) { k.client_port = static_cast<std::uint16_t>(k.client_port ^ 1U << bit); });
    with(
        [&](FlowKey& k) { k.server_port = static_cast<std::uint16_t>(k.server_port ^ 1U << bit); });
  }
  for (unsigned bit = 0; bit < 28; ++bit) with([&](FlowKey& k) { k.vlan.packed ^= 1U << bit; });
  return keys;
}

TEST(IndexHash, OneBitOfAnyFieldChangesAboutHalfOfTheHash) {
  for (const FlowKey& key : {ipv4_key(12345), ipv6_key(12345)}) {
    int changed_bits = 0;
    const auto neighbours = one_bit_away(key);
    std::unordered_set<std::uint64_t> hashes = {hash_of(key)};
    for (const FlowKey& other : neighbours) {
      hashes.insert(hash_of(other));
      changed_bits += std::popcount(hash_of(key) ^ hash_of(other));
    }
    EXPECT_EQ(hashes.size(), neighbours.size() + 1);
    // The mean over a hundred neighbours must be within two bits of half of them.
    EXPECT_NEAR(changed_bits / static_cast<double>(neighbours.size()), 32, 2.0);
  }
}

TEST(IndexHash, EachWordOfTheSecretChangesIt) {
  for (const FlowKey& key : {ipv4_key(1), ipv6_key(1)}) {
    for (std::size_t word = 0; word < kTestIndexKey.size(); ++word) {
      IndexKey other = kTestIndexKey;
      other[word] ^= 1U << 17;
      EXPECT_NE(index_hash(other, key), index_hash(kTestIndexKey, key)) << word;
    }
  }
}

TEST(IndexHash, MirroredAddressesAreAnotherConnection) {
  for (FlowKey key : {ipv4_key(1), ipv6_key(1)}) {
    FlowKey mirrored = key;
    std::swap(mirrored.client, mirrored.server);
    std::swap(mirrored.client_port, mirrored.server_port);
    EXPECT_NE(hash_of(key), hash_of(mirrored));
  }
}

// An attacker easily has one address with all its ports, or a subnet on one port. Each of the three
// uses of the hash must spread them evenly. Chi-squared over 256 cells with 65,536 keys has mean
// 255 and standard deviation 22.6; the limit is six deviations.
TEST(IndexHash, PortsOfOneAddressAndAddressesOfOneSubnetSpreadEvenly) {
  const auto keys_by_port = [](std::uint32_t n) {
    FlowKey key = ipv4_key(1);
    key.client_port = static_cast<std::uint16_t>(n);
    return key;
  };
  const auto keys_by_address = [](std::uint32_t n) {
    FlowKey key = ipv4_key(1);
    key.client[2] = static_cast<std::uint8_t>(n >> 8);
    key.client[3] = static_cast<std::uint8_t>(n);
    return key;
  };
  const auto keys_by_ipv6_address = [](std::uint32_t n) {
    FlowKey key = ipv6_key(1);
    key.client[14] = static_cast<std::uint8_t>(n >> 8);
    key.client[15] = static_cast<std::uint8_t>(n);
    return key;
  };
  for (const auto& make : {std::function<FlowKey(std::uint32_t)>(keys_by_port),
                           std::function<FlowKey(std::uint32_t)>(keys_by_address),
                           std::function<FlowKey(std::uint32_t)>(keys_by_ipv6_address)}) {
    std::vector<std::uint64_t> hashes;
    for (std::uint32_t n = 0; n < 65536; ++n) hashes.push_back(hash_of(make(n)));
    // The lowest bit of each byte: the tag above the family bit, the worker, the bucket's low and
    // high ends.
    for (const int shift : {1, 8, 16, 24, 32, 48, 56}) {
      std::vector<int> cells(256);
      for (const std::uint64_t hash : hashes) ++cells[hash >> shift & 0xff];
      double chi_squared = 0;
      for (const int count : cells) chi_squared += std::pow(count - 256.0, 2) / 256.0;
      EXPECT_LT(chi_squared, 255 + 6 * 22.6) << "bits from " << shift;
    }
  }
}

TEST(WorkerOf, StaysBelowTheNumberOfWorkers) {
  for (const std::uint32_t workers : {1U, 2U, 3U, 7U, 64U, 65535U}) {
    EXPECT_EQ(worker_of(0, workers), 0U);
    EXPECT_EQ(worker_of(~std::uint64_t{0}, workers), workers - 1);
  }
}

TEST(WorkerOf, IsEven) {
  for (const std::uint32_t workers : {2U, 3U, 5U, 8U, 12U}) {
    std::vector<int> cells(workers);
    constexpr int kKeys = 120000;
    for (std::uint64_t n = 0; n < kKeys; ++n) ++cells[worker_of(hash_of(ipv4_key(n)), workers)];
    const double mean = static_cast<double>(kKeys) / workers;
    for (const int count : cells) EXPECT_NEAR(count, mean, 6 * std::sqrt(mean)) << workers;
  }
}

TEST(WorkerOf, DependsOnNeitherTagNorBucket) {
  const std::uint64_t hash = 0x0123456789abcdefU;
  EXPECT_EQ(worker_of(hash, 64), worker_of(hash ^ 0xffffffff0000ffffU, 64));
}

}  // namespace
}  // namespace synproxy
