// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <poll.h>
#include <rte_mbuf.h>

#include <thread>
#include <vector>

#include "dataplane/engine_stub.h"
#include "dataplane/memory_plan.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/steering.h"
#include "dataplane/whole_packet.h"

namespace synproxy::dataplane {
namespace {

namespace stub = tests::engine_stub;

class HandOverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static_cast<void>(tests::shared_eal());
    pool_ =
        rte_pktmbuf_pool_create("hand_over", 4096, 0, 0, 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
  }
  rte_mbuf* frame(unsigned owner) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    auto* p = rte_pktmbuf_mtod(m, std::uint8_t*);
    std::fill_n(p, stub::kMinBytes, std::uint8_t{0});
    p[12] = stub::kEtherType >> 8;
    p[13] = stub::kEtherType & 0xff;
    p[stub::kOwnerAt] = static_cast<std::uint8_t>(owner);
    m->data_len = stub::kMinBytes;
    m->pkt_len = stub::kMinBytes;
    return m;
  }

  rte_mempool* pool_ = nullptr;
  const ProtectSet protect_{{}};
};

TEST_F(HandOverTest, EachFrameGoesToItsOwnerAndItsSide) {
  HandOver hand_over(3);
  Steering steering(1, 3, protect_, {}, nullptr, hand_over);
  IoCounters io;
  std::array<rte_mbuf*, 6> burst{};
  for (unsigned i = 0; i < burst.size(); ++i) burst[i] = frame(i % 3);
  const auto all = burst;
  ASSERT_EQ(steering.sort(PortId::kServer, Role::kServer, burst.data(), 6, io), 2);
  EXPECT_EQ(burst[0], all[1]);
  EXPECT_EQ(burst[1], all[4]);
  EXPECT_EQ(io.handed_over.get(), 4U);
  std::array<rte_mbuf*, 8> got{};
  EXPECT_EQ(hand_over.take(0, Role::kClient, got.data(), 8), 0);
  ASSERT_EQ(hand_over.take(0, Role::kServer, got.data(), 8), 2);
  EXPECT_EQ(got[0], all[0]);
  EXPECT_EQ(got[1], all[3]);
  EXPECT_TRUE(hand_over.anything_for(2));
  EXPECT_FALSE(hand_over.anything_for(0));
  for (const unsigned mine : {0U, 1U, 3U, 4U}) rte_pktmbuf_free(all[mine]);
}

TEST_F(HandOverTest, FullRingDropsTheRestAndCountsIt) {
  HandOver hand_over(2);
  Steering steering(0, 2, protect_, {}, nullptr, hand_over);
  IoCounters io;
  unsigned sent = 0;
  for (; sent < kHandOverSlots + 3 * kMaxBurst; sent += kMaxBurst) {
    std::array<rte_mbuf*, kMaxBurst> burst{};
    for (auto& m : burst) m = frame(1);
    EXPECT_EQ(steering.sort(PortId::kClient, Role::kClient, burst.data(), kMaxBurst, io), 0);
  }
  EXPECT_EQ(io.handed_over.get(), kHandOverSlots);
  EXPECT_EQ(io.hand_over_full.get(), sent - kHandOverSlots);
}

TEST_F(HandOverTest, SleeperIsWokenByWhatIsHandedToIt) {
  HandOver hand_over(2);
  Doorbell& bell = hand_over.doorbell(1);
  bell.will_sleep();
  ASSERT_FALSE(hand_over.anything_for(1));
  std::thread giver([&] {
    rte_mbuf* m = frame(1);
    EXPECT_EQ(hand_over.give(1, Role::kClient, &m, 1), 1);
  });
  pollfd event{bell.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&event, 1, 10'000), 1);
  bell.awake();
  EXPECT_TRUE(hand_over.anything_for(1));
  giver.join();
  // Answered: it does not ring again, and it does not ring for a worker that is awake.
  EXPECT_EQ(::poll(&event, 1, 0), 0);
  rte_mbuf* m = frame(1);
  EXPECT_EQ(hand_over.give(1, Role::kClient, &m, 1), 1);
  EXPECT_EQ(::poll(&event, 1, 0), 0);
}

// A packet put together from fragments may be longer than any buffer.
TEST_F(HandOverTest, WholePacketOfAnyLengthCrossesInOneChain) {
  HandOver hand_over(2);
  for (const std::size_t size : {60U, 256U, 257U, 1514U, 16'400U}) {
    std::vector<std::uint8_t> whole(size);
    for (std::size_t i = 0; i < size; ++i) whole[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    rte_mbuf* packed = pack_whole(whole, {0x12345678, 1280, 40}, pool_);
    ASSERT_NE(packed, nullptr);
    EXPECT_EQ(rte_mbuf_check(packed, 1, nullptr), 0);
    ASSERT_EQ(hand_over.give(1, Role::kClient, &packed, 1), 1);
    rte_mbuf* got = nullptr;
    ASSERT_EQ(hand_over.take(1, Role::kClient, &got, 1), 1);
    ASSERT_TRUE(is_packed_whole(*got));
    CameInFragments came;
    std::vector<std::uint8_t> out(0xffff);
    out.resize(unpack_whole(*got, came, out));
    EXPECT_EQ(out, whole);
    EXPECT_EQ(came.id, 0x12345678U);
    EXPECT_EQ(came.largest, 1280U);
    EXPECT_EQ(came.header_size, 40U);
    rte_pktmbuf_free(got);
  }
  rte_mbuf* received = frame(0);
  EXPECT_FALSE(is_packed_whole(*received));
  rte_pktmbuf_free(received);
}

TEST_F(HandOverTest, WholePacketWithoutEnoughBuffersIsGivenUp) {
  std::vector<rte_mbuf*> taken;
  while (rte_mbuf* m = rte_pktmbuf_alloc(pool_)) taken.push_back(m);
  for (unsigned i = 0; i < 5; ++i) {
    rte_pktmbuf_free(taken.back());
    taken.pop_back();
  }
  const std::vector<std::uint8_t> whole(2000);
  EXPECT_EQ(pack_whole(whole, {}, pool_), nullptr);
  EXPECT_EQ(rte_mempool_avail_count(pool_), 5U);
  rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
}

}  // namespace
}  // namespace synproxy::dataplane
