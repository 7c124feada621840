// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/index_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace synproxy {
namespace {

FlowIndex next_in(const std::set<FlowIndex>& set, FlowIndex from) {
  if (set.empty()) return kNoFlow;
  const auto found = set.lower_bound(from);
  return found != set.end() ? *found : *set.begin();
}

TEST(IndexSet, DoesAsAPlainSetDoes) {
  for (const std::uint32_t capacity : {1U, 2U, 63U, 64U, 65U, 4096U, 4097U, 300'000U}) {
    IndexSet set(capacity);
    std::set<FlowIndex> plain;
    std::mt19937 generator(capacity);
    const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
    for (int n = 0; n < 20'000; ++n) {
      // Few members in a large set, then many.
      const FlowIndex i = random() % capacity;
      if (random() % 100 < (n / 1000 % 2 != 0 ? 30U : 70U)) {
        set.insert(i);
        plain.insert(i);
      } else {
        const FlowIndex member = next_in(plain, i);
        const FlowIndex gone = member != kNoFlow && n % 2 != 0 ? member : i;
        set.erase(gone);
        plain.erase(gone);
      }
      ASSERT_EQ(set.size(), plain.size());
      ASSERT_EQ(set.contains(i), plain.contains(i));
      const FlowIndex from = random() % (capacity + 2);
      ASSERT_EQ(set.next(from), next_in(plain, from)) << capacity << " from " << from;
    }
  }
}

TEST(IndexSet, FindsTheOnlyMemberOfTheLargestTable) {
  constexpr std::uint32_t kCapacity = 1U << 28;
  IndexSet set(kCapacity);
  EXPECT_EQ(set.next(7), kNoFlow);
  for (const FlowIndex only : {0U, 12'345'678U, kCapacity - 1}) {
    set.insert(only);
    for (const FlowIndex from : {0U, 12'345'677U, 12'345'679U, kCapacity - 1, kCapacity}) {
      EXPECT_EQ(set.next(from), only);
    }
    set.erase(only);
  }
}

}  // namespace
}  // namespace synproxy
