// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/seq_num.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace synproxy {
namespace {

static_assert(!std::is_convertible_v<std::uint32_t, SeqNum>);
static_assert(!std::is_convertible_v<SeqNum, std::uint32_t>);

TEST(SeqNum, OrderIsThatOfItsValue) {
  const std::uint32_t values[] = {0, 1, 5, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff};
  for (const std::uint32_t a : values) {
    for (const std::uint32_t b : values) {
      EXPECT_EQ(SeqNum(a).before(SeqNum(b)), seq_before(a, b)) << a << ' ' << b;
      EXPECT_EQ(SeqNum(a).after(SeqNum(b)), seq_after(a, b)) << a << ' ' << b;
      for (const std::uint32_t c : values) {
        EXPECT_EQ(SeqNum(a).within(SeqNum(b), SeqNum(c)), seq_within(a, b, c));
      }
    }
  }
}

TEST(SeqNum, ArithmeticIsModulo32Bits) {
  EXPECT_EQ(SeqNum(0xffffffff) + 2, SeqNum(1));
  EXPECT_EQ(SeqNum(1) - 2U, SeqNum(0xffffffff));
  EXPECT_EQ(SeqNum(1) - SeqNum(0xffffffff), 2U);
  EXPECT_EQ((SeqNum(7) + 0x80000000U + 0x80000000U).value(), 7U);
}

}  // namespace
}  // namespace synproxy
