// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/doubts.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

constexpr IndexKey kSecret{1, 2, 3, 4};

FlowKey key(std::uint8_t server, std::uint16_t port = 80, std::uint32_t vlan = 0,
            bool ipv6 = false) {
  FlowKey k;
  k.client = {198, 51, 100, 7};
  k.server = {203, 0, 113, server};
  k.client_port = 40000;
  k.server_port = port;
  k.vlan.packed = vlan;
  k.ipv6 = ipv6;
  return k;
}

TEST(Doubts, ConcernOneServiceOfOneVlanAndFamily) {
  Doubts d(kSecret);
  EXPECT_FALSE(d.any());
  EXPECT_TRUE(d.dead(key(10), 100));
  EXPECT_FALSE(d.dead(key(10), 200)) << "no news";
  EXPECT_TRUE(d.doubted(key(10), 300));
  for (const FlowKey& other : {key(11), key(10, 81), key(10, 80, 5), key(10, 80, 0, true)}) {
    EXPECT_FALSE(d.doubted(other, 300));
    EXPECT_FALSE(d.alive(other));
  }
  FlowKey another_client = key(10);
  another_client.client = {198, 51, 100, 8};
  EXPECT_TRUE(d.doubted(another_client, 300));
  EXPECT_TRUE(d.alive(another_client));
  EXPECT_FALSE(d.doubted(key(10), 300));
  EXPECT_FALSE(d.any());
}

TEST(Doubts, AreForgottenWithoutNewsButNotWhileSomebodyAsksInVain) {
  Doubts d(kSecret);
  constexpr std::uint32_t kStart = 0xffff'f000U;  // the clock wraps
  d.dead(key(10), kStart);
  EXPECT_TRUE(d.doubted(key(10), kStart + Doubts::kMemoryMs - 1));
  EXPECT_FALSE(d.doubted(key(10), kStart + Doubts::kMemoryMs));
  EXPECT_TRUE(d.dead(key(10), kStart + Doubts::kMemoryMs)) << "it comes in doubt anew";
  EXPECT_NE(d.ask(key(10), 1, kStart + 2 * Doubts::kMemoryMs - 1), nullptr);
  EXPECT_TRUE(d.doubted(key(10), kStart + 3 * Doubts::kMemoryMs - 2));
}

TEST(Doubts, MoreServicesThanPlacesPushOutTheOldest) {
  Doubts d(kSecret);
  for (std::uint32_t i = 0; i < 4 * Doubts::kServices; ++i) {
    d.dead(key(static_cast<std::uint8_t>(i), static_cast<std::uint16_t>(i)), i);
  }
  std::size_t found = 0;
  for (std::uint32_t i = 0; i < 4 * Doubts::kServices; ++i) {
    const FlowKey k = key(static_cast<std::uint8_t>(i), static_cast<std::uint16_t>(i));
    found += d.doubted(k, 4 * Doubts::kServices) ? 1 : 0;
    d.alive(k);
  }
  EXPECT_LE(found, Doubts::kServices);
  EXPECT_GT(found, Doubts::kServices / 2);
  EXPECT_FALSE(d.any()) << "each place was counted once";
}

TEST(Doubts, AnswersAreBelievedForTheSynThatAskedAndForAWhile) {
  Doubts d(kSecret);
  EXPECT_FALSE(d.asking());
  d.dead(key(10), 0);
  SynAckRepeats::Entry* e = d.ask(key(10), 77, 1'000);
  ASSERT_NE(e, nullptr);
  e->key = key(10);
  e->syn_ack.flags = kSyn | kAck;
  e->syn_ack.ack = SeqNum(501);
  EXPECT_TRUE(d.asking());
  EXPECT_NE(d.asked(key(10), 77, SeqNum(500), 1'200), nullptr);
  EXPECT_EQ(d.asked(key(10), 77, SeqNum(501), 1'200), nullptr);
  EXPECT_EQ(d.asked(key(11), 77, SeqNum(500), 1'200), nullptr);
  EXPECT_EQ(d.asked(key(10), 78, SeqNum(500), 1'200), nullptr);
  EXPECT_EQ(d.asked(key(10), 77, SeqNum(500), 1'001 + Doubts::kAnswerMs), nullptr);
  d.found_alive(77, 1'300);
  EXPECT_NE(d.asked(key(10), 77, SeqNum(500), 1'300 + Doubts::kCopiesMs), nullptr);
  EXPECT_EQ(d.asked(key(10), 77, SeqNum(500), 1'301 + Doubts::kCopiesMs), nullptr);
  d.found_dead(77);
  EXPECT_EQ(d.asked(key(10), 77, SeqNum(500), 1'400), nullptr);
}

TEST(Doubts, AsksAreLimitedAndMoreSoWhereServicesAreFoundAlive) {
  Doubts d(kSecret);
  d.dead(key(10), 0);
  std::uint32_t asks = 0;
  while (d.ask(key(10), asks, 5) != nullptr) ++asks;
  EXPECT_EQ(asks, Doubts::kAsksPerSecond);
  EXPECT_EQ(d.ask(key(10), 0, 900), nullptr);
  asks = 0;
  for (; d.ask(key(10), asks, 2'000) != nullptr; ++asks) d.found_alive(asks, 2'000);
  EXPECT_EQ(asks, Doubts::kFoundAlivePerSecond);
}

}  // namespace
}  // namespace synproxy
