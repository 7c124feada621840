// SPDX-License-Identifier: BSD-3-Clause
// What the book of flows keeps in step: counts by state, cookies that were used, keys that came and
// went, and the order in which flows give way.
#include "flows/flow_book.h"

#include <gtest/gtest.h>

#include <set>

#include "synproxy/cookie/cookie.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using testing::ipv4_key;

constexpr std::uint32_t kEpochMs = 64'000;
constexpr std::uint64_t kEpoch = 1000;

EpochKeys keys_of(std::uint64_t epoch) {
  return {.epoch = epoch, .timestamps = {epoch, 2, 3}, .plain = {epoch, 5, 7}};
}

class FlowBookTest : public ::testing::Test {
 protected:
  FlowBookTest() {
    for (std::uint64_t e = kEpoch - 1; e < kEpoch + 3; ++e) ring_.publish(keys_of(e));
    now_.begin(0);
  }

  static EngineConfig config() {
    EngineConfig c;
    c.shape.max_flows = 16;
    c.shape.replays_per_epoch = 1024;
    c.shape.epoch_ms = kEpochMs;
    c.shape.unix_ms_at_start = kEpoch * kEpochMs;
    return c;
  }
  FlowIndex insert(std::uint32_t n) {
    const FlowKey key = ipv4_key(n);
    return book_.insert(key, book_.hash_of(key));
  }
  // A flow whose cookie is of the epoch.
  FlowIndex in_handshake(std::uint32_t n, std::uint64_t epoch = kEpoch) {
    const FlowIndex i = insert(n);
    book_.become_handshake(book_[i], {.early = 0xffffffffU, .our_tsval = 0, .mss = 0, .window = 0});
    book_[i].cookie = static_cast<std::uint32_t>(0x1000 | (epoch & 1U));
    book_[i].client_isn = n;
    book_[i].set_epoch(epoch);
    return i;
  }
  FlowIndex established(std::uint32_t n) {
    const FlowIndex i = in_handshake(n);
    book_.become_spliced(book_[i], FlowState::kEstablished, {});
    return i;
  }
  [[nodiscard]] bool remembered(std::uint32_t n, std::uint64_t epoch) const {
    const EpochKeys keys = keys_of(epoch);
    const MacInput in = cookie_mac_input(ipv4_key(n), n);
    return book_.replayed(epoch,
                          siphash24(keys.plain.k0, keys.plain.k1, in.words.data(), in.count));
  }

  KeyRing ring_;
  Moment now_{config(), ring_};
  FlowBook book_{config().shape, IndexKey{1, 2, 3, 4}};
};

TEST_F(FlowBookTest, CountsFollowTheStates) {
  const FlowIndex a = in_handshake(1);
  const FlowIndex b = established(2);
  const FlowIndex c = insert(3);
  book_.become_spliced(book_[c], FlowState::kPassed, {});
  EXPECT_EQ(book_.size(), 3U);
  EXPECT_EQ(book_.embryonic(), 1U);
  EXPECT_EQ(book_.established(), 2U);
  book_.set_state(book_[b], FlowState::kClosing);
  EXPECT_EQ(book_.established(), 1U);
  book_.become_spliced(book_[a], FlowState::kTombstone, {});
  EXPECT_EQ(book_.embryonic(), 0U);
  for (const FlowIndex i : {a, b, c}) book_.erase(i, now_);
  EXPECT_EQ(book_.size(), 0U);
  EXPECT_EQ(book_.established(), 0U);
}

TEST_F(FlowBookTest, KeysThatCameOrWentAreNotedUntilTheNextBurst) {
  const std::uint64_t hash = book_.hash_of(ipv4_key(1));
  const FlowIndex i = in_handshake(1);
  EXPECT_TRUE(book_.changed());
  EXPECT_TRUE(book_.changed(hash));
  book_.begin_burst();
  EXPECT_FALSE(book_.changed());
  EXPECT_FALSE(book_.changed(hash));
  book_.erase(i, now_);
  EXPECT_TRUE(book_.changed(hash));
}

TEST_F(FlowBookTest, UsedCookieIsRememberedWhileItCouldBeReplayed) {
  book_.erase(in_handshake(1), now_);
  EXPECT_TRUE(remembered(1, kEpoch));
  EXPECT_FALSE(remembered(2, kEpoch));
  // In the first half of the next epoch it still counts, in the second half it does not.
  const FlowIndex late = in_handshake(2);
  const FlowIndex too_late = in_handshake(3);
  now_.begin(kEpochMs + kEpochMs / 2 - 1);
  book_.erase(late, now_);
  EXPECT_TRUE(remembered(2, kEpoch));
  now_.begin(kEpochMs + kEpochMs / 2);
  book_.erase(too_late, now_);
  EXPECT_FALSE(remembered(3, kEpoch));
  EXPECT_FALSE(remembered(3, kEpoch + 2)) << "nor under the epoch whose parity it has";
}

TEST_F(FlowBookTest, FlowsGiveWayInOrder) {
  established(1);
  EXPECT_EQ(book_.pick_victim(), kNoFlow);
  const FlowIndex embryonic = in_handshake(2);
  EXPECT_EQ(book_.pick_victim(), embryonic);
  const FlowIndex closing = established(3);
  book_.set_state(book_[closing], FlowState::kClosing);
  EXPECT_EQ(book_.pick_victim(), closing);
  const FlowIndex finished = established(4);
  book_.set_state(book_[finished], FlowState::kFinished);
  EXPECT_EQ(book_.pick_victim(), finished);
}

TEST_F(FlowBookTest, SweepVisitsEveryRecordWithinASecond) {
  for (std::uint32_t n = 0; n < 16; ++n) established(n);
  EXPECT_TRUE(book_.full());
  std::set<FlowIndex> seen;
  for (std::uint64_t ms = 1; ms <= 1000; ms += 10) {
    book_.sweep(ms, [&](FlowIndex i) { seen.insert(i); });
  }
  EXPECT_EQ(seen.size(), 16U);
}

TEST_F(FlowBookTest, RecordWithEarlyDataCannotBeErased) {
  if constexpr (!kChecked) {
    GTEST_SKIP() << "a release build does not look";
  } else {
    const FlowIndex i = in_handshake(1);
    book_[i].handshake().early = 7;
    EXPECT_DEATH(book_.erase(i, now_), "");
  }
}

}  // namespace
}  // namespace synproxy
