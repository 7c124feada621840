// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/key_ring.h"
#include "support/rounds.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace synproxy {
namespace {

// Every word of these keys names the epoch, so that a mixture of two epochs shows.
EpochKeys keys_of(std::uint64_t epoch) {
  const std::uint64_t base = epoch << 8;
  return {.epoch = epoch,
          .timestamps = {.k0 = base | 1, .k1 = base | 2, .multiplier = base | 3},
          .plain = {.k0 = base | 4, .k1 = base | 5, .multiplier = base | 7}};
}

bool is_of(const EpochKeys& keys, std::uint64_t epoch) {
  return keys.epoch == epoch && words_of(keys) == words_of(keys_of(epoch));
}

TEST(KeyWords, HoldAllOfAnEpochButItsNumber) {
  EpochKeys keys = keys_of(5);
  constexpr KeyWords kWords{0x501, 0x502, 0x503, 0x504, 0x505, 0x507, 0};
  EXPECT_EQ(words_of(keys), kWords);
  keys.plain.tight = true;
  EXPECT_EQ(words_of(keys)[kTightWord], 1U);
  const EpochKeys again = epoch_keys(5, words_of(keys));
  EXPECT_EQ(words_of(again), words_of(keys));
  EXPECT_EQ(again.epoch, 5U);
  EXPECT_FALSE(epoch_keys(5, kWords).plain.tight);
}

TEST(KeyRing, ANewRingHoldsNoEpoch) {
  const KeyRing ring;
  EpochKeys keys;
  for (const std::uint64_t epoch : {0ULL, 1ULL, 2ULL, 3ULL, 27'000'000ULL, ~0ULL}) {
    EXPECT_FALSE(ring.read(epoch, keys)) << epoch;
  }
}

TEST(KeyRing, HoldsTheLastFourEpochsThroughHundredsOfRotations) {
  KeyRing ring;
  EpochKeys keys;
  constexpr std::uint64_t kFirst = 27'000'000;
  for (std::uint64_t epoch = kFirst; epoch < kFirst + 500; ++epoch) {
    ring.publish(keys_of(epoch));
    for (std::uint64_t back = 0; back < 4 && epoch - back >= kFirst; ++back) {
      ASSERT_TRUE(ring.read(epoch - back, keys)) << epoch << " - " << back;
      ASSERT_TRUE(is_of(keys, epoch - back)) << epoch << " - " << back;
    }
    ASSERT_FALSE(ring.read(epoch - 4, keys)) << epoch;
    ASSERT_FALSE(ring.read(epoch + 1, keys)) << epoch;
  }
}

TEST(KeyRing, AFailedReadLeavesTheOutputAlone) {
  KeyRing ring;
  ring.publish(keys_of(8));
  EpochKeys keys = keys_of(77);
  EXPECT_FALSE(ring.read(4, keys));  // the same slot
  EXPECT_TRUE(is_of(keys, 77));
}

TEST(KeyRing, RefusesKeysThatWouldMakeForgeableCookies) {
  KeyRing ring;
  ring.publish(keys_of(5));
  EpochKeys all_zero;
  all_zero.epoch = 9;
  EpochKeys zero_timestamps = keys_of(9);
  zero_timestamps.timestamps.k0 = zero_timestamps.timestamps.k1 = 0;
  EpochKeys zero_plain = keys_of(9);
  zero_plain.plain.k0 = zero_plain.plain.k1 = 0;
  EpochKeys even = keys_of(9);
  even.plain.multiplier = 6;
  EpochKeys no_epoch = keys_of(9);
  no_epoch.epoch = ~0ULL;
  for (const EpochKeys& bad : {all_zero, zero_timestamps, zero_plain, even, no_epoch}) {
    EXPECT_THROW(ring.publish(bad), std::invalid_argument);
  }
  EpochKeys keys;
  ASSERT_TRUE(ring.read(5, keys)) << "a refused publication must not disturb the slot";
  EXPECT_TRUE(is_of(keys, 5));
}

TEST(KeyRing, ClearForgetsEveryEpoch) {
  KeyRing ring;
  EpochKeys keys;
  for (std::uint64_t epoch = 4; epoch < 8; ++epoch) {
    ring.publish(keys_of(epoch));
  }
  ring.clear();
  for (std::uint64_t epoch = 0; epoch < 12; ++epoch) {
    EXPECT_FALSE(ring.read(epoch, keys)) << epoch;
  }
  ring.publish(keys_of(5));
  EXPECT_TRUE(ring.read(5, keys));
}

TEST(KeyRing, AReaderNeverSeesAMixtureWhileSlotsAreRewritten) {
  KeyRing ring;
  constexpr std::uint64_t kGoodReads = test::rounds(5'000'000U);
  std::atomic<std::uint64_t> newest{4};
  for (std::uint64_t epoch = 1; epoch <= 4; ++epoch) {
    ring.publish(keys_of(epoch));
  }
  std::atomic<bool> done{false};
  bool mixture = false;
  std::thread reader([&] {
    EpochKeys keys;
    for (std::uint64_t good = 0; good < kGoodReads;) {
      const std::uint64_t epoch = newest.load(std::memory_order_relaxed);
      // From the epoch that is being written to the one that it overwrites.
      for (std::uint64_t wanted = epoch - 3; wanted <= epoch + 1; ++wanted) {
        if (ring.read(wanted, keys)) {
          ++good;
          mixture = mixture || !is_of(keys, wanted);
        }
      }
    }
    done = true;
  });
  std::uint64_t epoch = 4;
  while (!done) {
    ring.publish(keys_of(++epoch));
    newest.store(epoch, std::memory_order_relaxed);
  }
  reader.join();
  EXPECT_FALSE(mixture) << "after " << epoch << " epochs";
}

}  // namespace
}  // namespace synproxy
