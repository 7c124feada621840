// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/seq_order.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

struct OrderRow {
  const char* sentence;
  std::uint32_t a;
  std::uint32_t b;
  bool a_before_b;
  bool b_before_a;
};

TEST(SeqOrder, IsThatOfTheShorterWayRoundTheCircle) {
  const OrderRow rows[] = {
      {"a number is not before itself", 5, 5, false, false},
      {"one apart", 5, 6, true, false},
      {"over the wrap", 0xffffffff, 0, true, false},
      {"over the wrap, far", 0xfffffff0, 0x7fffffef, true, false},
      {"the largest distance that has a direction", 0, 0x7fffffff, true, false},
      {"exactly half way: each is before the other, no order is promised", 0, 0x80000000, true,
       true},
      {"more than half way is behind", 0, 0x80000001, false, true},
  };
  for (const OrderRow& row : rows) {
    SCOPED_TRACE(row.sentence);
    EXPECT_EQ(seq_before(row.a, row.b), row.a_before_b);
    EXPECT_EQ(seq_before(row.b, row.a), row.b_before_a);
    EXPECT_EQ(seq_after(row.b, row.a), row.a_before_b);
    EXPECT_EQ(seq_after(row.a, row.b), row.b_before_a);
  }
}

struct WithinRow {
  const char* sentence;
  std::uint32_t value, low, high;
  bool inside;
};

TEST(SeqOrder, WithinWalksUpwardsFromLow) {
  const WithinRow rows[] = {
      {"both ends belong to it: low", 10, 10, 20, true},
      {"both ends belong to it: high", 20, 10, 20, true},
      {"below", 9, 10, 20, false},
      {"above", 21, 10, 20, false},
      {"a range of one", 10, 10, 10, true},
      {"beside a range of one", 11, 10, 10, false},
      {"range over the wrap, before it", 0xffffffff, 0xfffffff0, 5, true},
      {"range over the wrap, after it", 0, 0xfffffff0, 5, true},
      {"range over the wrap, outside", 6, 0xfffffff0, 5, false},
      {"more than half of the circle", 0x90000000, 0, 0xa0000000, true},
      {"high just below low: the whole circle", 123456, 10, 9, true},
  };
  for (const WithinRow& row : rows) {
    SCOPED_TRACE(row.sentence);
    EXPECT_EQ(seq_within(row.value, row.low, row.high), row.inside);
  }
}

}  // namespace
}  // namespace synproxy
