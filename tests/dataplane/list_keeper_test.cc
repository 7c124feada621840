// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/list_keeper.h"

#include <gtest/gtest.h>

#include <vector>

namespace synproxy::dataplane {
namespace {

std::unique_ptr<const SourceLists> denying(const char* prefix) {
  return std::make_unique<const SourceLists>(
      make_source_lists({}, std::vector{parse_prefix(prefix)}, false));
}

TEST(ListKeeper, BeginsWithEmptyLists) {
  const ListKeeper keeper;
  EXPECT_TRUE(keeper.current()->denied.empty());
  EXPECT_FALSE(keeper.keeps_old());
}

TEST(ListKeeper, KeepsListsUntilEveryWorkerUsesTheVersionThatReplacedThem) {
  ListKeeper keeper;
  keeper.replace(denying("192.0.2.1"), 4);
  keeper.replace(denying("192.0.2.2"), 8);
  EXPECT_TRUE(keeper.keeps_old());
  keeper.free_before(3);
  EXPECT_TRUE(keeper.keeps_old());
  keeper.free_before(7);  // the empty ones are free; a worker may look into the first
  EXPECT_TRUE(keeper.keeps_old());
  keeper.free_before(8);
  EXPECT_FALSE(keeper.keeps_old());
  EXPECT_EQ(*keeper.current(), *denying("192.0.2.2"));
}

}  // namespace
}  // namespace synproxy::dataplane
