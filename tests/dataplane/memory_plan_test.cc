// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/memory_plan.h"

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/pool.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/super_frame.h"

namespace synproxy::dataplane {
namespace {

TEST(MemoryPlan, RoomHoldsTheFrameBehindTheHeadroom) {
  for (const std::uint32_t frame : {60U, 1522U, 2048U, 2049U, 9022U, 16'022U}) {
    const std::uint16_t room = room_for(frame);
    EXPECT_GE(room, frame + RTE_PKTMBUF_HEADROOM);
    EXPECT_GE(room, 2048U + RTE_PKTMBUF_HEADROOM);
    EXPECT_EQ((room - RTE_PKTMBUF_HEADROOM) % 1024, 0U);
  }
}

TEST(MemoryPlan, ShortageNamesTheFlagThatAsksForMost) {
  EngineShape shape;
  shape.max_flows = 1U << 20;
  shape.early_data_memory = 64ULL << 30;
  EXPECT_EQ(no_memory_for(shape),
            "--early-data-memory 68719476736: not enough memory for what clients send early; ask "
            "for less");
  shape.max_flows = 1U << 28;
  shape.early_data_memory = 64U << 20;
  EXPECT_EQ(no_memory_for(shape),
            "--max-flows 268435456: not enough memory for the table of connections; ask for fewer");
}

// Compares the plan with what DPDK takes: the sum of the pool's chunks.
TEST(MemoryPlan, PlannedBytesCoverWhatThePoolTakes) {
  static_cast<void>(tests::shared_eal());
  const std::size_t page = rte_eal_has_hugepages() != 0 ? 2U << 20 : 4096;
  for (const std::uint32_t frame : {1522U, 3000U, 9022U}) {
    const PoolPlan plan{.buffers = 3000, .data_room = room_for(frame)};
    rte_mempool* pool =
        rte_pktmbuf_pool_create("planned", plan.buffers, 0, 0, plan.data_room, SOCKET_ID_ANY);
    ASSERT_NE(pool, nullptr);
    std::size_t taken = 0;
    rte_mempool_mem_iter(
        pool,
        [](rte_mempool*, void* sum, rte_mempool_memhdr* chunk, unsigned) {
          *static_cast<std::size_t*>(sum) += chunk->len;
        },
        &taken);
    // The last chunk may be rounded up to a page, and may be less than one.
    EXPECT_LE(taken, plan.bytes(page) + page) << frame;
    EXPECT_GE(taken + page, plan.bytes(page) * 9 / 10) << frame;
    rte_mempool_free(pool);
  }
}

TEST(MemoryPlan, SmallBuffersInLargePagesWasteLittle) {
  const PoolPlan plan{.buffers = 10'000, .data_room = room_for(1522)};
  EXPECT_LT(plan.bytes(2U << 20), plan.bytes(4096) * 2 / 3);
}

TEST(MemoryPlan, EveryWorkerAddsItsShare) {
  EXPECT_GT(buffers_for(2, 0), 2 * buffers_for(1, 0));  // two workers also have rings between them
  EXPECT_EQ(buffers_for(1, 500), buffers_for(1, 0) + 500);
}

// Otherwise each super-frame is copied into memory that no cache holds.
TEST(MemoryPlan, TheBufferFreedLastIsTakenFirst) {
  static_cast<void>(tests::shared_eal());
  const Pool pool("freed_last", {.buffers = kSuperFrames,
                                 .data_room = kSuperFrameBytes,
                                 .private_area = kSuperFramePrivate,
                                 .cache = cache_within(kSuperFrames, 1)});
  rte_mbuf* last = rte_pktmbuf_alloc(pool.get());
  ASSERT_NE(last, nullptr);
  for (int again = 0; again < 100; ++again) {
    rte_pktmbuf_free(last);
    rte_mbuf* next = rte_pktmbuf_alloc(pool.get());
    EXPECT_EQ(next, last);
    last = next;
  }
  rte_pktmbuf_free(last);
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(MemoryPlan, WhatWorkersKeepLeavesBuffersForTheReceiver) {
  EXPECT_EQ(cache_within(kSuperFrames, 1), 32U);
  for (unsigned workers = 1; workers <= 128; ++workers) {
    const unsigned kept = cache_within(kSuperFrames, workers) * 3 / 2 * workers;
    EXPECT_LE(kept, kSuperFrames * 2 / 3) << workers;
  }
}

}  // namespace
}  // namespace synproxy::dataplane
