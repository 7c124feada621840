// SPDX-License-Identifier: BSD-3-Clause
// Compares the table with std::unordered_map, step by step, over long random work.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <unordered_map>
#include <vector>

#include "support/rounds.h"
#include "synproxy/flow/table.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::hash_of;
using test::kMixedKeys;
using test::mixed_key;
using test::scrambled;

using HashFunction = std::uint64_t (*)(const FlowKey&, std::uint32_t);

struct Work {
  std::uint32_t capacity;
  std::uint32_t steps;
  unsigned seed;
  HashFunction hash;
};

class Churn {
 public:
  explicit Churn(const Work& work) : work_(work), table_(work.capacity), random_(work.seed) {
    for (std::uint32_t n = 0; n < kMixedKeys; ++n) keys_.push_back(mixed_key(n));
  }

  void run() {
    // Phases of growth and of decay, so that the table gets both full and empty.
    const std::uint32_t phase = 2 * std::min(work_.capacity, kMixedKeys) + 3;
    for (std::uint32_t step = 0; step < work_.steps && !::testing::Test::HasFatalFailure();
         ++step) {
      const bool growing = step / phase % 2 == 0;
      const bool insert_now = random_() % 8 < (growing ? 6 : 2);
      const std::uint32_t any = random_() % kMixedKeys;
      const std::uint32_t n =
          insert_now || known_.empty() ? any : known_[random_() % known_.size()];
      check(n);
      if (insert_now && !reference_.contains(n)) insert(n);
      if (!insert_now && reference_.contains(n)) erase(n);
      if (step % 10000 == 0) check_all();
    }
    check_all();
    const auto last = reference_;
    for (const auto& entry : last) erase(entry.first);
    EXPECT_EQ(table_.size(), 0U);
    EXPECT_EQ(table_.displaced(), 0U);
  }

  [[nodiscard]] std::uint32_t refused() const { return refused_; }
  [[nodiscard]] std::uint32_t most_displaced() const { return most_displaced_; }

 private:
  struct Value {
    FlowIndex index;
    std::uint32_t stamp;
    std::size_t position;  // in known_
  };

  [[nodiscard]] std::uint64_t hash(std::uint32_t n) const { return work_.hash(keys_[n], n); }

  void insert(std::uint32_t n) {
    const FlowIndex index = table_.insert(keys_[n], hash(n));
    if (index == kNoFlow) {
      ++refused_;
      return;
    }
    ASSERT_LT(index, table_.high_water());
    ASSERT_EQ(table_[index].state(), FlowState::kFree);
    table_[index].become_spliced(FlowState::kEstablished, {});
    table_[index].client_isn = ++stamp_;
    reference_[n] = {index, stamp_, known_.size()};
    known_.push_back(n);
  }

  void erase(std::uint32_t n) {
    table_.erase(reference_[n].index, hash(n));
    const std::size_t position = reference_[n].position;
    known_[position] = known_.back();
    reference_[known_[position]].position = position;
    known_.pop_back();
    reference_.erase(n);
  }

  void check(std::uint32_t n) {
    const FlowIndex index = table_.find(keys_[n], hash(n));
    const auto known = reference_.find(n);
    if (known == reference_.end()) {
      ASSERT_EQ(index, kNoFlow) << "key " << n << ", seed " << work_.seed;
      return;
    }
    ASSERT_EQ(index, known->second.index) << "key " << n << ", seed " << work_.seed;
    ASSERT_EQ(table_[index].client_isn, known->second.stamp);
    ASSERT_EQ(table_.key_of(index), keys_[n]);
  }

  void check_all() {
    ASSERT_EQ(table_.size(), reference_.size());
    ASSERT_LE(table_.size(), table_.high_water());
    ASSERT_LE(table_.high_water(), table_.capacity());
    for (std::uint32_t n = 0; n < kMixedKeys; ++n) check(n);
    std::uint32_t in_use = 0;
    for (FlowIndex i = 0; i < table_.capacity(); ++i) {
      if (table_[i].state() == FlowState::kFree) continue;
      ++in_use;
      ASSERT_LT(i, table_.high_water());
    }
    ASSERT_EQ(in_use, table_.size());
    most_displaced_ = std::max(most_displaced_, table_.displaced());
  }

  Work work_;
  FlowTable table_;
  std::mt19937 random_;
  std::vector<FlowKey> keys_;
  std::unordered_map<std::uint32_t, Value> reference_;
  std::vector<std::uint32_t> known_;
  std::uint32_t stamp_ = 0;
  std::uint32_t refused_ = 0;
  std::uint32_t most_displaced_ = 0;
};

std::uint64_t real_hash(const FlowKey& key, std::uint32_t) { return hash_of(key); }

TEST(FlowChurn, RoomForAll) {
  Churn churn({kMixedKeys, test::rounds(400000U), 1, real_hash});
  churn.run();
  EXPECT_EQ(churn.refused(), 0U);
}

TEST(FlowChurn, OftenFull) {
  for (const std::uint32_t capacity : {1U, 2U, 3U, 16U, 500U}) {
    Churn churn({capacity, test::rounds(100000U), capacity, real_hash});
    churn.run();
    EXPECT_GT(churn.refused(), 0U) << capacity;
  }
}

// All homes lie in an eighth of the table, so entries move all the time.
TEST(FlowChurn, CrowdedHomes) {
  Churn churn({kMixedKeys, test::rounds(400000U), 3, [](const FlowKey&, std::uint32_t n) {
                 const std::uint64_t random = scrambled(n);
                 return (random & 0xffffU) | (random >> 3 & 0x1fffffff00000000U);
               }});
  churn.run();
  EXPECT_GT(churn.most_displaced(), 500U);
}

// Few tags and few homes: nearly every matching tag belongs to another key, and places run out. Two
// keys of IPv6 never have one hash.
TEST(FlowChurn, FewTagsAndFewHomes) {
  static_assert(kMixedKeys <= 0x10000);
  Churn churn({kMixedKeys, test::rounds(400000U), 4, [](const FlowKey&, std::uint32_t n) {
                 return std::uint64_t{n % 7} << 61 | std::uint64_t{n} << 16 | n % 5;
               }});
  churn.run();
  EXPECT_GT(churn.refused(), 0U);
}

}  // namespace
}  // namespace synproxy
