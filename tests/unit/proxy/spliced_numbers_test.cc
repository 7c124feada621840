// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/spliced_numbers.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(SplicedNumbers, OneWayUndoesTheOther) {
  for (const std::uint32_t delta : {0U, 1U, 0x80000000U, 0xfffffff0U}) {
    for (const std::uint32_t number : {0U, 7U, 0x7fffffffU, 0xffffffffU}) {
      EXPECT_EQ(number_to_client(number_to_server(number, delta), delta), number);
    }
  }
  EXPECT_EQ(number_to_server(0xfffffff0, 0x20), 0x10U);
}

TEST(TsecrEchoes, ZeroDoesNot) {
  EXPECT_FALSE(tsecr_echoes(0));
  EXPECT_TRUE(tsecr_echoes(1));
  EXPECT_TRUE(tsecr_echoes(0x80000000));
}

struct FitRow {
  const char* sentence;
  std::uint32_t number, next, window;
  bool fits;
};

TEST(SeqFits, Rows) {
  const FitRow rows[] = {
      {"the next byte", 1000, 1000, 100, true},
      {"the last that the receiver takes", 1100, 1000, 100, true},
      {"one further", 1101, 1000, 100, false},
      {"a repeat, as old as one may come", 900, 1000, 100, true},
      {"an older one", 899, 1000, 100, false},
      {"over the wrap, ahead", 5, 0xfffffff0, 0x20, true},
      {"over the wrap, behind", 0xfffffff0, 5, 0x20, true},
      {"over the wrap, too far", 0x11, 0xfffffff0, 0x20, false},
      {"the largest window", 0x40000000, 0, 0x40000000, true},
      {"beyond the largest window", 0x40000001, 0, 0x40000000, false},
      {"the other side of the circle", 0x80000000, 0, 0x40000000, false},
  };
  for (const FitRow& row : rows) {
    EXPECT_EQ(seq_fits(row.number, row.next, row.window), row.fits) << row.sentence;
  }
}

TEST(AckFits, Rows) {
  const FitRow rows[] = {
      {"all that was seen", 1000, 1000, 100, true},
      {"over a gap, by as much as can be under way", 1100, 1000, 100, true},
      {"more than can be under way", 1101, 1000, 100, false},
      {"a window below the oldest that can be unacknowledged", 800, 1000, 100, true},
      {"an older one", 799, 1000, 100, false},
      {"over the wrap, behind", 0xfffffff0, 0x10, 0x10, true},
      {"over the wrap, too old", 0xffffffef, 0x10, 0x10, false},
      {"the largest window", 0x80000000, 0, 0x40000000, true},
      {"beyond the largest window", 0x40000001, 0, 0x40000000, false},
  };
  for (const FitRow& row : rows) {
    EXPECT_EQ(ack_fits(row.number, row.next, row.window), row.fits) << row.sentence;
  }
}

struct OrderRow {
  const char* sentence;
  std::uint32_t seq, length, next;
  SegmentOrder order;
};

TEST(SegmentOrder, Rows) {
  const OrderRow rows[] = {
      {"begins at next", 1000, 1, 1000, SEGMENT_IN_ORDER},
      {"begins at next, over the wrap", 0xfffffff0, 0x20, 0xfffffff0, SEGMENT_IN_ORDER},
      {"nothing in it", 1000, 0, 1000, SEGMENT_EMPTY},
      {"nothing in it, and old", 900, 0, 1000, SEGMENT_EMPTY},
      {"behind a gap", 1001, 10, 1000, SEGMENT_OUT_OF_ORDER},
      {"behind a gap, nothing in it", 1001, 0, 1000, SEGMENT_OUT_OF_ORDER},
      {"half of it is new", 995, 10, 1000, SEGMENT_OUT_OF_ORDER},
      {"its last byte is new", 991, 10, 1000, SEGMENT_OUT_OF_ORDER},
      {"ends at next", 990, 10, 1000, SEGMENT_REPEATED},
      {"ends at next, over the wrap", 0xfffffff0, 0x20, 0x10, SEGMENT_REPEATED},
      {"a keepalive with a byte", 999, 1, 1000, SEGMENT_REPEATED},
      {"long ago", 100, 10, 1000, SEGMENT_REPEATED},
  };
  for (const OrderRow& row : rows) {
    EXPECT_EQ(segment_order(row.seq, row.length, row.next), row.order) << row.sentence;
  }
}

}  // namespace
}  // namespace synproxy
