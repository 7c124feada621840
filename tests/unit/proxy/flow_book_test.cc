// SPDX-License-Identifier: BSD-3-Clause
// What the book of flows keeps in step: counts by state, cookies that were used, keys that came and
// went, and the order in which flows give way.
#include "flows/flow_book.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "synproxy/cookie/cookie.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::ipv4_key;

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
    return book_.insert(key, book_.hash_of(key), 0);
  }
  // A flow whose cookie is of the epoch.
  FlowIndex in_handshake(std::uint32_t n, std::uint64_t epoch = kEpoch) {
    const FlowIndex i = insert(n);
    const FlowBook::Change change(book_, i);
    book_.become_handshake(change, book_[i],
                           {.early = 0xffffffffU, .our_tsval = 0, .mss = 0, .window = 0});
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
  // The client has sent data.
  void speaks(FlowIndex i, std::uint64_t now_ms) {
    book_[i].client_nxt = book_[i].client_isn + 2;
    book_[i].last_seen = static_cast<std::uint32_t>(now_ms);
  }
  [[nodiscard]] bool remembered(std::uint32_t n, std::uint64_t epoch) const {
    const EpochKeys keys = keys_of(epoch);
    const MacInput in = cookie_mac_input(ipv4_key(n), n);
    return book_.replayed(epoch,
                          siphash24(keys.plain.k0, keys.plain.k1, in.words.data(), in.count));
  }

  KeyRing ring_;
  Moment now_{config(), ring_};
  ProtectSet protect_{{}};
  Counters counters_;
  NamedServices services_{protect_, counters_, EngineTuning{}};
  Limiter limiter_{config(), now_, services_};
  Turns turns_{config(), now_, services_, {1, 2, 3, 4}};
  Activation activation_{EngineTuning{}, 1};
  FlowBook book_{config().shape, IndexKey{1, 2, 3, 4}, limiter_, turns_, activation_, services_};
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
  const std::uint64_t now = 20'000;
  speaks(established(1), now - 20'000);
  EXPECT_EQ(book_.pick_victim(now), kNoFlow);
  const FlowIndex embryonic = in_handshake(2);
  book_[embryonic].last_seen = static_cast<std::uint32_t>(now - 100);
  EXPECT_EQ(book_.pick_victim(now), embryonic);
  const FlowIndex silent = established(3);
  book_[silent].last_seen = static_cast<std::uint32_t>(now - 6000);
  book_[silent].client_nxt = book_[silent].client_isn + 1;
  book_.suspect(silent, true);
  EXPECT_EQ(book_.pick_victim(now), silent);
  const FlowIndex half_closed = established(4);
  speaks(half_closed, now - 7000);
  book_[half_closed].set(kFlowServerFin);
  book_.suspect(half_closed, true);
  EXPECT_EQ(book_.pick_victim(now), half_closed) << "silent longer";
  const FlowIndex unanswered = established(5);
  speaks(unanswered, now - 6000);
  book_[unanswered].set(kFlowProbed);
  book_.suspect(unanswered, true);
  EXPECT_EQ(book_.pick_victim(now), unanswered);
  const FlowIndex no_server = in_handshake(6);
  book_[no_server].last_seen = static_cast<std::uint32_t>(now - 1500);
  EXPECT_EQ(book_.pick_victim(now), no_server);
  const FlowIndex outbound = insert(7);
  book_.become_spliced(book_[outbound], FlowState::kPassed, {});
  EXPECT_EQ(book_.pick_victim(now), outbound);
  const FlowIndex closing = established(8);
  book_.set_state(book_[closing], FlowState::kClosing);
  EXPECT_EQ(book_.pick_victim(now), closing);
  const FlowIndex finished = established(9);
  book_.set_state(book_[finished], FlowState::kFinished);
  EXPECT_EQ(book_.pick_victim(now), finished);
}

TEST_F(FlowBookTest, SuspectThatSpokeSinceStays) {
  const FlowIndex i = established(1);
  book_[i].client_nxt = book_[i].client_isn + 1;
  book_.suspect(i, true);
  speaks(i, 10'000);
  EXPECT_EQ(book_.pick_victim(20'000), kNoFlow) << "its client has sent data";
  book_[i].set(kFlowClientFin);
  book_.suspect(i, true);
  EXPECT_EQ(book_.pick_victim(14'000), kNoFlow) << "four seconds ago";
  book_.suspect(i, true);
  EXPECT_EQ(book_.pick_victim(15'000), i);
}

TEST_F(FlowBookTest, LooksAreRationedByTheMillisecond) {
  for (std::uint32_t n = 0; n < 16; ++n) book_[in_handshake(n)].last_seen = 1000 - n;
  // The oldest of eight, again and again.
  for (unsigned n = 0; n < 4096 / 8; ++n) ASSERT_EQ(book_.pick_victim(1000) % 8, 7U);
  for (FlowIndex i = 0; i < 16; ++i) EXPECT_EQ(book_.pick_victim(1000), i) << "one after another";
  EXPECT_EQ(book_.pick_victim(1001) % 8, 7U);
}

TEST_F(FlowBookTest, WaitsShrinkWithTheFlowsThatAreNotOver) {
  std::vector<FlowIndex> all;
  for (std::uint32_t n = 0; n < 9; ++n) all.push_back(established(n));
  EXPECT_EQ(book_.shortened(800'000), 800'000U);
  for (std::uint32_t n = 9; n < 16; ++n) all.push_back(established(n));
  EXPECT_EQ(book_.shortened(800'000), 100'000U) << "an eighth when it is full";
  EXPECT_EQ(book_.shortened(80'000), 20'000U) << "but no less than an end needs to answer";
  EXPECT_EQ(book_.shortened(8'000), 8'000U);
  for (std::uint32_t n = 0; n < 7; ++n) book_.set_state(book_[all[n]], FlowState::kFinished);
  EXPECT_EQ(book_.shortened(800'000), 800'000U) << "finished ones are room";
}

TEST_F(FlowBookTest, SliceEndsWhenItHasDoneItsShare) {
  for (std::uint32_t n = 0; n < 16; ++n) established(n);
  unsigned visits = 0;
  book_.sweep(1000, [&](FlowIndex) {
    ++visits;
    return 200U;
  });
  EXPECT_EQ(visits, 3U);
}

TEST_F(FlowBookTest, SweepVisitsEveryRecordWithinASecond) {
  for (std::uint32_t n = 0; n < 16; ++n) established(n);
  EXPECT_TRUE(book_.full());
  std::set<FlowIndex> seen;
  for (std::uint64_t ms = 1; ms <= 1000; ms += 10) {
    book_.sweep(ms, [&](FlowIndex i) {
      seen.insert(i);
      return 0U;
    });
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
