// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>

namespace synproxy::dataplane {
namespace {

rte_eth_dev_info device(std::uint8_t key_bytes) {
  rte_eth_dev_info info{};
  info.max_rx_queues = 8;
  info.hash_key_size = key_bytes;
  info.flow_type_rss_offloads = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
  return info;
}

TEST(Rss, PlannedKeyPutsBothDirectionsOnOneQueue) {
  for (const std::uint8_t bytes : std::initializer_list<std::uint8_t>{40, 52}) {
    const RssPlan plan = plan_rss(device(bytes));
    EXPECT_TRUE(plan.usable);
    EXPECT_EQ(plan.key.size(), bytes);
    EXPECT_TRUE(is_symmetric(plan.key));
    EXPECT_NE(plan.hash_fields, 0U);
  }
}

TEST(Rss, OrdinaryKeyIsSeenNotToBeSymmetric) {
  std::vector<std::uint8_t> key(40);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i * 37 + 1);
  EXPECT_FALSE(is_symmetric(key));
}

TEST(Rss, OneWrongBitIsSeen) {
  std::vector<std::uint8_t> key = plan_rss(device(40)).key;
  key[17] ^= 0x10;
  EXPECT_FALSE(is_symmetric(key));
}

TEST(Rss, DeviceWithoutSettableKeyGetsOneQueue) {
  EXPECT_FALSE(plan_rss(device(0)).usable);
  EXPECT_FALSE(plan_rss(device(16)).usable);
}

TEST(Rss, DeviceWithoutHashingGetsOneQueue) {
  rte_eth_dev_info info = device(40);
  info.flow_type_rss_offloads = 0;
  EXPECT_FALSE(plan_rss(info).usable);
  info = device(40);
  info.max_rx_queues = 1;
  EXPECT_FALSE(plan_rss(info).usable);
}

}  // namespace
}  // namespace synproxy::dataplane
