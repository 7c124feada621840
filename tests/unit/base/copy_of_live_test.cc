// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/copy_of_live.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace synproxy {
namespace {

struct Live {
  std::uint64_t words[8];
};

TEST(CopyOfLive, IsEqualWhileNobodyWrites) {
  Live live{};
  for (std::uint64_t i = 0; i < 8; ++i) live.words[i] = ~0ULL / (i + 1);
  const Live copy = copy_of_live(live);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(copy.words[i], live.words[i]) << i;
}

// Both halves of a word are always of one write.
TEST(CopyOfLive, ReadsEachWordWholeWhileItIsWritten) {
  Live live{};
  std::atomic<bool> stopping{false};
  std::thread writer([&] {
    for (std::uint64_t n = 1; !stopping.load(std::memory_order_relaxed); ++n) {
      const std::uint64_t half = n & 0xffffffffU;
      for (std::uint64_t& word : live.words) {
        __atomic_store_n(&word, half << 32 | half, __ATOMIC_RELAXED);
      }
    }
  });
  for (int look = 0; look < 100'000; ++look) {
    const Live copy = copy_of_live(live);
    for (const std::uint64_t word : copy.words) ASSERT_EQ(word >> 32, word & 0xffffffffU);
  }
  stopping = true;
  writer.join();
}

}  // namespace
}  // namespace synproxy
