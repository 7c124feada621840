// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/epoch.h"

#include <gtest/gtest.h>

#include "synproxy/cookie/master_secret.h"

namespace synproxy {
namespace {

constexpr std::uint64_t kNever = ~0ULL;

EpochKeys keys_of(std::uint64_t epoch) {
  return {.epoch = epoch,
          .timestamps = {.k0 = epoch + 1, .k1 = 2, .multiplier = 3},
          .plain = {.k0 = epoch + 4, .k1 = 5, .multiplier = 7}};
}

struct TimeRow {
  const char* sentence;
  std::uint64_t unix_ms;
  std::uint32_t epoch_ms;
  EpochClock want;
};

TEST(Epoch, IsUnixTimeDividedByItsLength) {
  const std::array rows{
      TimeRow{"the first millisecond", 640'000, 64'000, {10, false}},
      TimeRow{"the last of the first half", 671'999, 64'000, {10, false}},
      TimeRow{"the first of the second half", 672'000, 64'000, {10, true}},
      TimeRow{"the last millisecond", 703'999, 64'000, {10, true}},
      TimeRow{"the next epoch", 704'000, 64'000, {11, false}},
      TimeRow{"a time of this century", 1'760'000'000'123, 64'000, {27'500'000, false}},
      TimeRow{"an odd length, below the half", 10'003, 1'001, {9, true}},
      TimeRow{"an odd length, 500 of 1001", 1'501, 1'001, {1, false}},
      TimeRow{"an odd length, 501 of 1001", 1'502, 1'001, {1, true}},
      TimeRow{"the shortest epoch has no second half", 7, 1, {7, false}},
      TimeRow{"the longest epoch", 4'294'967'295ULL * 3, 4'294'967'295U, {3, false}},
  };
  for (const TimeRow& row : rows) {
    const EpochClock clock = epoch_at(row.unix_ms, row.epoch_ms);
    EXPECT_EQ(clock.epoch, row.want.epoch) << row.sentence;
    EXPECT_EQ(clock.second_half, row.want.second_half) << row.sentence;
  }
}

struct ParityRow {
  const char* sentence;
  EpochClock clock;
  unsigned parity;
  std::uint64_t want;
};

TEST(Epoch, ForeignParityMeansThePreviousOneFirstAndTheNextOneLater) {
  const std::array rows{
      ParityRow{"own parity, even, first half", {10, false}, 0, 10},
      ParityRow{"own parity, even, second half", {10, true}, 0, 10},
      ParityRow{"own parity, odd, first half", {11, false}, 1, 11},
      ParityRow{"own parity, odd, second half", {11, true}, 1, 11},
      ParityRow{"foreign parity, even, first half", {10, false}, 1, 9},
      ParityRow{"foreign parity, even, second half", {10, true}, 1, 11},
      ParityRow{"foreign parity, odd, first half", {11, false}, 0, 10},
      ParityRow{"foreign parity, odd, second half", {11, true}, 0, 12},
  };
  for (const ParityRow& row : rows) {
    EXPECT_EQ(epoch_of(row.clock, row.parity), row.want) << row.sentence;
  }
}

// With equal clocks, a cookie made `into` milliseconds into an epoch is valid for the rest of that
// epoch and half of the next one, and not a millisecond longer.
TEST(Epoch, ACookieLivesHalfToOneAndAHalfEpochs) {
  constexpr std::uint64_t kLength = 64;
  for (std::uint64_t into = 0; into < kLength; ++into) {
    const std::uint64_t made_at = 10 * kLength + into;
    const std::uint64_t made_in = epoch_at(made_at, 64).epoch;
    std::uint64_t lived = 0;
    while (epoch_of(epoch_at(made_at + lived, 64), made_in & 1U) == made_in) {
      ++lived;
    }
    EXPECT_EQ(lived, kLength * 3 / 2 - into) << into;
  }
}

// A cookie made now by a second proxy with the same secret, whose clock is `skew` ahead.
bool fresh_cookie_is_found(std::uint64_t now, std::int64_t skew, std::uint32_t length) {
  const std::uint64_t made_in = epoch_at(now + static_cast<std::uint64_t>(skew), length).epoch;
  return epoch_of(epoch_at(now, length), made_in & 1U) == made_in;
}

TEST(Epoch, TwoProxiesAgreeWhenTheirClocksDifferByHalfAnEpochAndNotByMore) {
  constexpr std::uint32_t kLength = 64;
  for (std::int64_t skew = -33; skew <= 33; ++skew) {
    bool always = true;
    for (std::uint64_t now = 640; now < 640 + 2 * kLength; ++now) {
      always = always && fresh_cookie_is_found(now, skew, kLength);
    }
    EXPECT_EQ(always, skew >= -32 && skew <= 32) << "skew " << skew;
  }
}

TEST(WorkerKeys, GiveNothingBeforeTheFirstRefresh) {
  const WorkerKeys keys;
  EXPECT_EQ(keys.current(), nullptr);
  EXPECT_EQ(keys.for_parity(0), nullptr);
  EXPECT_EQ(keys.for_parity(1), nullptr);
}

std::uint64_t epoch_or_never(const EpochKeys* keys) { return keys ? keys->epoch : kNever; }

TEST(WorkerKeys, FollowTheClockThroughHundredsOfEpochsWithoutAGap) {
  KeyRing ring;
  WorkerKeys keys;
  for (std::uint64_t epoch = 1000; epoch < 1500; ++epoch) {
    for (std::uint64_t e = epoch - 1; e <= epoch + 2; ++e) {
      EpochKeys have;
      if (!ring.read(e, have)) {
        ring.publish(keys_of(e));
      }
    }
    for (const bool second_half : {false, true}) {
      keys.refresh(ring, {epoch, second_half});
      ASSERT_EQ(epoch_or_never(keys.current()), epoch);
      ASSERT_EQ(epoch_or_never(keys.for_parity(epoch & 1)), epoch);
      ASSERT_EQ(epoch_or_never(keys.for_parity(~epoch & 1)), second_half ? epoch + 1 : epoch - 1);
      ASSERT_EQ(keys.current()->timestamps.k0, epoch + 1);
      ASSERT_EQ(keys.current()->plain.k0, epoch + 4);
    }
  }
}

TEST(WorkerKeys, LookAgainWhileAKeyIsMissing) {
  KeyRing ring;
  WorkerKeys keys;
  const EpochClock clock{10, true};
  keys.refresh(ring, clock);
  EXPECT_EQ(keys.current(), nullptr);
  ring.publish(keys_of(10));
  keys.refresh(ring, clock);
  EXPECT_EQ(epoch_or_never(keys.current()), 10U);
  EXPECT_EQ(keys.for_parity(1), nullptr) << "epoch 11 is not published";
  ring.publish(keys_of(11));
  keys.refresh(ring, clock);
  EXPECT_EQ(epoch_or_never(keys.for_parity(1)), 11U);
}

TEST(WorkerKeys, KeepTheirCopiesWhenTheRingIsClearedOrStalls) {
  KeyRing ring;
  for (std::uint64_t e = 9; e <= 12; ++e) {
    ring.publish(keys_of(e));
  }
  WorkerKeys keys;
  keys.refresh(ring, {10, false});
  ring.clear();
  keys.refresh(ring, {11, false});
  EXPECT_EQ(epoch_or_never(keys.current()), 11U);
  EXPECT_EQ(epoch_or_never(keys.for_parity(0)), 10U);
  keys.refresh(ring, {11, true});
  EXPECT_EQ(keys.for_parity(0), nullptr) << "epoch 12 was never copied";
  // Far ahead: the keys still held are of no use, and must not be handed out for other epochs.
  keys.refresh(ring, {13, false});
  EXPECT_EQ(keys.current(), nullptr);
  EXPECT_EQ(keys.for_parity(0), nullptr);
}

TEST(WorkerKeys, ServeEpochZeroWhichHasNothingBeforeIt) {
  KeyRing ring;
  for (std::uint64_t e = 0; e <= 2; ++e) {
    ring.publish(keys_of(e));
  }
  WorkerKeys keys;
  keys.refresh(ring, {0, false});
  EXPECT_EQ(epoch_or_never(keys.current()), 0U);
  EXPECT_EQ(keys.for_parity(1), nullptr);
  keys.refresh(ring, {0, true});
  EXPECT_EQ(epoch_or_never(keys.for_parity(1)), 1U);
}

TEST(PublishEpochs, KeepsAWorkerSuppliedEvenIfItSleepsThroughAnEpoch) {
  const MasterSecret secret = MasterSecret::random();
  KeyRing ring;
  publish_epochs(ring, secret, 100);
  WorkerKeys keys;
  for (const std::uint64_t epoch : {100U, 101U}) {  // nobody published in between
    for (const bool second_half : {false, true}) {
      keys.refresh(ring, {epoch, second_half});
      EXPECT_EQ(epoch_or_never(keys.current()), epoch);
      EXPECT_EQ(epoch_or_never(keys.for_parity(~epoch & 1)), second_half ? epoch + 1 : epoch - 1);
    }
  }
}

TEST(PublishEpochs, LeavesNoZeroAndNoRepeatedKeyThroughHundredsOfEpochs) {
  const MasterSecret secret = MasterSecret::random();
  KeyRing ring;
  std::uint64_t last = 0;
  for (std::uint64_t epoch = 0; epoch < 300; ++epoch) {
    publish_epochs(ring, secret, epoch);
    publish_epochs(ring, secret, epoch);  // the second call changes nothing
    for (std::uint64_t e = epoch == 0 ? 0 : epoch - 1; e <= epoch + 2; ++e) {
      EpochKeys keys;
      ASSERT_TRUE(ring.read(e, keys)) << e;
      ASSERT_NE(keys.timestamps.k0 | keys.timestamps.k1, 0U);
      ASSERT_NE(keys.plain.k0 | keys.plain.k1, 0U);
      ASSERT_EQ(keys.timestamps.multiplier & keys.plain.multiplier & 1U, 1U);
    }
    EpochKeys now;
    ASSERT_TRUE(ring.read(epoch, now));
    ASSERT_NE(now.timestamps.k0, last);
    last = now.timestamps.k0;
  }
}

}  // namespace
}  // namespace synproxy
