// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>

#include <array>
#include <set>

namespace synproxy::dataplane {
namespace {

constexpr RssWord kWord = 0x6d5a;

rte_eth_dev_info device(std::uint8_t key_bytes) {
  rte_eth_dev_info info{};
  info.max_rx_queues = 8;
  info.hash_key_size = key_bytes;
  info.flow_type_rss_offloads = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
  return info;
}

TEST(Rss, PlannedKeyPutsBothDirectionsOnOneQueue) {
  for (const std::uint8_t bytes : std::initializer_list<std::uint8_t>{40, 52}) {
    const RssPlan plan = plan_rss(device(bytes), kWord);
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
  std::vector<std::uint8_t> key = plan_rss(device(40), kWord).key;
  key[17] ^= 0x10;
  EXPECT_FALSE(is_symmetric(key));
}

TEST(Rss, DrawnWordIsGoodAndNotAlwaysTheSame) {
  std::set<RssWord> drawn;
  for (int i = 0; i < 32; ++i) {
    const RssWord word = draw_rss_word();
    EXPECT_TRUE(is_good(word)) << word;
    drawn.insert(word);
  }
  EXPECT_GT(drawn.size(), 1U);
  for (const RssWord bad : std::initializer_list<RssWord>{0, 0xffff, 0x5555, 0x00ff, 0x0001}) {
    EXPECT_FALSE(is_good(bad)) << bad;
  }
}

TEST(Rss, KeyOfEachGoodWordIsSymmetric) {
  for (unsigned word = 0; word < 0x10000; word += 97) {
    if (is_good(static_cast<RssWord>(word))) {
      EXPECT_TRUE(plan_rss(device(40), static_cast<RssWord>(word)).usable) << word;
    }
  }
}

TEST(Rss, PeriodIsAPowerOfTwoThatHoldsEveryQueue) {
  struct Row {
    std::uint16_t size, queues, period;
  };
  for (const Row& row :
       {Row{128, 3, 128}, Row{512, 3, 128}, Row{64, 3, 64}, Row{2, 2, 2}, Row{512, 2, 2},
        Row{8, 4, 4}, Row{4, 8, 0}, Row{0, 2, 0}, Row{12, 3, 0}, Row{512, 129, 0}}) {
    EXPECT_EQ(reta_period(row.size, row.queues), row.period) << row.size << " " << row.queues;
  }
}

TEST(Rss, TablesOfDifferentSizesAgreeOnEachHash) {
  constexpr std::uint16_t kQueues = 3;
  const auto queue = [](std::uint16_t size, std::uint32_t hash) {
    const auto table = plan_reta(size, kQueues);
    const std::uint32_t place = hash % size;
    const auto& group = table.at(place / RTE_ETH_RETA_GROUP_SIZE);
    EXPECT_NE(group.mask & RTE_BIT64(place % RTE_ETH_RETA_GROUP_SIZE), 0U) << "not filled";
    return group.reta[place % RTE_ETH_RETA_GROUP_SIZE];
  };
  std::array<unsigned, kQueues> share{};
  for (std::uint32_t hash = 0; hash < 1024; ++hash) {
    ASSERT_EQ(queue(128, hash), queue(512, hash)) << hash;
    ++share.at(queue(128, hash));
  }
  for (const unsigned n : share) EXPECT_NEAR(n, 1024.0 / kQueues, 16);
}

TEST(Rss, DeviceWithoutSettableKeyGetsOneQueue) {
  EXPECT_FALSE(plan_rss(device(0), kWord).usable);
  EXPECT_FALSE(plan_rss(device(16), kWord).usable);
}

TEST(Rss, DeviceWithoutHashingGetsOneQueue) {
  rte_eth_dev_info info = device(40);
  info.flow_type_rss_offloads = 0;
  EXPECT_FALSE(plan_rss(info, kWord).usable);
  info = device(40);
  info.max_rx_queues = 1;
  EXPECT_FALSE(plan_rss(info, kWord).usable);
}

}  // namespace
}  // namespace synproxy::dataplane
