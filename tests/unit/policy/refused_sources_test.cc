// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/refused_sources.h"

#include <gtest/gtest.h>

#include <memory>

namespace synproxy {
namespace {

RefusedSource source(std::uint32_t n) {
  const std::array<std::uint8_t, 4> address{10, static_cast<std::uint8_t>(n >> 16),
                                            static_cast<std::uint8_t>(n >> 8),
                                            static_cast<std::uint8_t>(n)};
  return refused_source(address.data(), false, {.ipv4 = 32, .ipv6 = 64});
}

RefusedList list_of(const RefusedSources& sources) {
  RefusedList list;
  Published<RefusedList>::Version seen = Published<RefusedList>::kNone;
  static_cast<void>(sources.list().news(seen, list));
  return list;
}

TEST(RefusedSource, IsThePrefixWithoutHostBits) {
  const std::array<std::uint8_t, 16> address{0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff, 0xff, 0xff};
  const RefusedSource r = refused_source(address.data(), true, {.ipv4 = 32, .ipv6 = 37});
  EXPECT_EQ(r.length, 37);
  const std::array<std::uint8_t, 16> want{0x20, 0x01, 0x0d, 0xb8, 0xf8};
  EXPECT_EQ(r.prefix, want);
}

TEST(RefusedSources, ListsThoseThatAreRefusedMostFirst) {
  const auto sources = std::make_unique<RefusedSources>();
  for (std::uint32_t n = 0; n < 30; ++n) {
    for (std::uint32_t i = 0; i <= n; ++i) sources->note(source(n), 1000);
  }
  sources->tick(2000);
  const RefusedList list = list_of(*sources);
  ASSERT_EQ(list.all().size(), RefusedList::kMost);
  for (std::uint32_t i = 0; i < RefusedList::kMost; ++i) {
    EXPECT_TRUE(list.all()[i].same(source(29 - i))) << i;
    EXPECT_EQ(list.all()[i].count, 30 - i);
  }
}

// A source with a 64th of all refusals is in the list, however many others there are.
TEST(RefusedSources, AGreedySourceAmongManyIsFound) {
  const auto sources = std::make_unique<RefusedSources>();
  const RefusedSource greedy = source(1U << 20);
  for (std::uint32_t n = 0; n < 100'000; ++n) {
    sources->note(n % 16 == 0 ? greedy : source(n), 1000);
  }
  sources->tick(2000);
  const RefusedList list = list_of(*sources);
  ASSERT_FALSE(list.all().empty());
  EXPECT_TRUE(list.all()[0].same(greedy));
  EXPECT_LE(list.all()[0].count, 100'000U / 16) << "a count says what was certainly seen";
}

TEST(RefusedSources, WhoIsRefusedNoMoreLeavesTheList) {
  const auto sources = std::make_unique<RefusedSources>();
  sources->note(source(1), 1000);
  sources->tick(2000);
  EXPECT_EQ(list_of(*sources).all().size(), 1U);
  sources->tick(1000 + RefusedSources::kForgetMs);
  EXPECT_TRUE(list_of(*sources).all().empty());
}

}  // namespace
}  // namespace synproxy
