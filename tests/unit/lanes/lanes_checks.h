// SPDX-License-Identifier: BSD-3-Clause
// What the functions of lanes do to eight lanes, against the same in scalar code. A source includes
// lanes/avx2.h or lanes/avx512.h, then this.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <random>
#include <vector>

#include "synproxy/base/vectors.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

using Lane = std::array<std::uint64_t, kLanes>;

// Also the edges of each half, and equal values.
inline std::uint64_t edge_or_random(std::mt19937_64& random) {
  constexpr std::array<std::uint64_t, 10> kEdges{
      0, 1, 2, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ULL << 63, ~0ULL};
  return random() % 2 == 0 ? kEdges[random() % kEdges.size()] : random();
}
inline Lane lanes_at_random(std::mt19937_64& random, std::uint64_t below = 0) {
  Lane l;
  for (std::uint64_t& v : l) v = below == 0 ? edge_or_random(random) : random() % below;
  return l;
}

// Stores op(a, b), and says what each lane should be.
template <typename Op, typename Scalar>
void expect_each(const char* what, const Lane& a, const Lane& b, Op op, Scalar scalar) {
  Lane out{};
  op(a.data(), b.data(), out.data());
  for (std::size_t i = 0; i < kLanes; ++i) {
    ASSERT_EQ(out[i], scalar(a[i], b[i])) << what << " of " << a[i] << " and " << b[i];
  }
}
// The same of a mask: all bits of a lane or none.
#define SYNPROXY_EXPECT(expression, scalar)                                                     \
  expect_each(                                                                                  \
      #expression, a, b,                                                                        \
      [](const std::uint64_t* first, const std::uint64_t* second, std::uint64_t* out)           \
          __attribute__((target(SYNPROXY_TARGET))) {                                            \
            [[maybe_unused]] const U64x8 v = load(first);                                       \
            [[maybe_unused]] const U64x8 w = load(second);                                      \
            store(out, expression);                                                             \
          },                                                                                    \
      []([[maybe_unused]] std::uint64_t x, [[maybe_unused]] std::uint64_t y) -> std::uint64_t { \
        return scalar;                                                                          \
      })
#define SYNPROXY_EXPECT_MASK(expression, scalar) \
  SYNPROXY_EXPECT(only_in(expression, all(~0ULL)), (scalar) ? ~0ULL : 0)

constexpr std::uint64_t kOdd = 0x123456789abcdef0ULL;

class LANES_TEST_NAME : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Vectors::LANES_TEST_VECTORS > cpu_vectors()) GTEST_SKIP() << "this CPU cannot run it";
  }
  std::mt19937_64 random_{5};
};

TEST_F(LANES_TEST_NAME, BitsAndNumbersAreThoseOfEachLane) {
  for (int round = 0; round < 300; ++round) {
    const Lane a = lanes_at_random(random_);
    const Lane b = lanes_at_random(random_);
    SYNPROXY_EXPECT(both(v, w), x & y);
    SYNPROXY_EXPECT(exclusive(first_of(v), all(first[0])), 0);
    SYNPROXY_EXPECT(either(v, w), x | y);
    SYNPROXY_EXPECT(exclusive(v, w), x ^ y);
    SYNPROXY_EXPECT(but_not(v, w), x & ~y);
    SYNPROXY_EXPECT(with_bits(v, w, kOdd), x | (y & kOdd));
    SYNPROXY_EXPECT(with_inverse(v, w, kOdd), x | (~y & kOdd));
    SYNPROXY_EXPECT(differing_bits(v, all(kOdd), w), (x & kOdd) ^ y);
    SYNPROXY_EXPECT(up_by<11>(v), x << 11);
    SYNPROXY_EXPECT(down_by<11>(v), x >> 11);
    SYNPROXY_EXPECT(up_by_each(v, both(w, all(63))), x << (y & 63));
    SYNPROXY_EXPECT(down_by_each(v, both(w, all(63))), x >> (y & 63));
    SYNPROXY_EXPECT(rotate<13>(v), std::rotl(x, 13));
    SYNPROXY_EXPECT(rotate<16>(v), std::rotl(x, 16));
    SYNPROXY_EXPECT(rotate<32>(v), std::rotl(x, 32));
    SYNPROXY_EXPECT(add(v, w), x + y);
    SYNPROXY_EXPECT(product(down_by<32>(v), w), (x >> 32) * y);
    SYNPROXY_EXPECT(choose_bytes<0x82>(v, w),
                    (x & ~0xff0000000000ff00ULL) | (y & 0xff0000000000ff00ULL));
    SYNPROXY_EXPECT(larger_bytes<0x01>(v, v, w), (x & ~0xffULL) | std::max(x & 0xff, y & 0xff));
    SYNPROXY_EXPECT(larger_bytes<0x80>(v, v, w), (x & ~0ULL >> 8) | std::max(x >> 56, y >> 56)
                                                                        << 56);
  }
}

TEST_F(LANES_TEST_NAME, ComparesAndChoicesAreThoseOfEachLane) {
  for (int round = 0; round < 300; ++round) {
    Lane a = lanes_at_random(random_);
    Lane b = lanes_at_random(random_);
    SYNPROXY_EXPECT_MASK(equal(v, w), x == y);
    SYNPROXY_EXPECT_MASK(unequal(v, w), x != y);
    SYNPROXY_EXPECT_MASK(any_bit(v, w), (x & y) != 0);
    SYNPROXY_EXPECT_MASK(no_bit(v, w), (x & y) == 0);
    a = lanes_at_random(random_, 8);
    b = lanes_at_random(random_, 2);  // the lanes of a mask
    SYNPROXY_EXPECT_MASK(above(v, 3), x > 3);
    SYNPROXY_EXPECT_MASK(below(v, 3), x < 3);
    SYNPROXY_EXPECT_MASK(at_least(v, 3), x >= 3);
    SYNPROXY_EXPECT_MASK(equal(any_bit(w, all(1)), v, all(3)), y != 0 && x == 3);
    SYNPROXY_EXPECT_MASK(unequal(any_bit(w, all(1)), v, all(3)), y != 0 && x != 3);
    SYNPROXY_EXPECT_MASK(any_bit(any_bit(w, all(1)), v, all(5)), y != 0 && (x & 5) != 0);
    SYNPROXY_EXPECT_MASK(above(any_bit(w, all(1)), v, 3), y != 0 && x > 3);
    SYNPROXY_EXPECT_MASK(below(any_bit(w, all(1)), v, 3), y != 0 && x < 3);
    SYNPROXY_EXPECT_MASK(at_least(any_bit(w, all(1)), v, 3), y != 0 && x >= 3);
    SYNPROXY_EXPECT_MASK(at_least(any_bit(w, all(1)), v, up_by<1>(w)), y != 0 && x >= 2 * y);
    SYNPROXY_EXPECT_MASK(at_most(any_bit(w, all(1)), v, 3), y != 0 && x <= 3);
    SYNPROXY_EXPECT_MASK(any_bit(w, all(1)) & above(v, 3), y != 0 && x > 3);
    SYNPROXY_EXPECT_MASK(any_bit(w, all(1)) | above(v, 3), y != 0 || x > 3);
    SYNPROXY_EXPECT_MASK(any_bit(w, all(1)) & ~above(v, 3), y != 0 && x <= 3);
    SYNPROXY_EXPECT_MASK(static_cast<Mask>(~any_bit(w, all(1))), y == 0);
    SYNPROXY_EXPECT_MASK(choose_masks(any_bit(w, all(1)), above(v, 3), below(v, 3)),
                         y != 0 ? x < 3 : x > 3);
    SYNPROXY_EXPECT_MASK(every_if(true), true);
    SYNPROXY_EXPECT_MASK(every_if(false), false);
    SYNPROXY_EXPECT(choose(any_bit(w, all(1)), v, all(kOdd)), y != 0 ? kOdd : x);
    SYNPROXY_EXPECT(choose(any_bit(w, all(1)), 5, 6), y != 0 ? 6 : 5);
    SYNPROXY_EXPECT(no_more_in(any_bit(w, all(1)), v, 3), y != 0 && x > 3 ? 3 : x);
    SYNPROXY_EXPECT(only_in(any_bit(w, all(1)), v), y != 0 ? x : 0);
    SYNPROXY_EXPECT(add_in(any_bit(w, all(1)), v, kOdd), y != 0 ? x + kOdd : x);
  }
}

SYNPROXY_KERNEL void look_up_lanes(const Lane& table, const std::array<std::uint8_t, 16>& bytes,
                                   const Lane& index, Lane& of_table, Lane& of_bytes) {
  const U64x8 i = load(index.data());
  store(of_table.data(), look_up(table, index_of(both(i, all(7)))));
  store(of_bytes.data(), look_up(bytes, i));
}
TEST_F(LANES_TEST_NAME, EachLaneLooksUpItsOwn) {
  for (int round = 0; round < 100; ++round) {
    const Lane table = lanes_at_random(random_);
    const Lane index = lanes_at_random(random_, 16);
    std::array<std::uint8_t, 16> bytes;
    for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random_());
    Lane of_table;
    Lane of_bytes;
    look_up_lanes(table, bytes, index, of_table, of_bytes);
    for (std::size_t i = 0; i < kLanes; ++i) {
      ASSERT_EQ(of_table[i], table[index[i] % 8]);
      ASSERT_EQ(of_bytes[i], bytes[index[i]]);
    }
  }
}

SYNPROXY_KERNEL std::uint32_t there_and_back(std::uint32_t lanes) { return bits(mask_of(lanes)); }
SYNPROXY_KERNEL std::uint32_t bits_of_nonzero(const Lane& a) {
  return bits(any_bit(load(a.data()), all(1)));
}
TEST_F(LANES_TEST_NAME, AMaskHasABitForEachLaneInOrder) {
  for (std::uint32_t lanes = 0; lanes < 256; ++lanes) {
    Lane a;
    for (std::size_t i = 0; i < kLanes; ++i) a[i] = lanes >> i & 1U;
    ASSERT_EQ(bits_of_nonzero(a), lanes);
    ASSERT_EQ(there_and_back(lanes), lanes);
  }
}

SYNPROXY_KERNEL void shuffle(const Lane& a, Lane& out) {
  store(out.data(), shuffle_in_pairs(load(a.data()), _mm_setr_epi8(1, 0, -1, -1, 15, 14, 2, 2, 8, 9,
                                                                   10, 11, 12, 13, 0, -1)));
}
TEST_F(LANES_TEST_NAME, BytesAreShuffledInPairs) {
  const Lane a = lanes_at_random(random_, ~0ULL);
  Lane out;
  shuffle(a, out);
  for (std::size_t i = 0; i < kLanes; i += 2) {
    const auto byte = [&](std::size_t at) { return a[i + at / 8] >> 8 * (at % 8) & 0xff; };
    EXPECT_EQ(out[i], byte(1) | byte(0) << 8 | byte(15) << 32 | byte(14) << 40 | byte(2) << 48 |
                          byte(2) << 56);
    EXPECT_EQ(out[i + 1], (a[i + 1] & 0xffffffffffULL) | byte(13) << 40 | byte(0) << 48);
  }
}

using Rows = std::array<std::uint8_t*, kLanes>;
SYNPROXY_KERNEL void load_rows(const Rows& rows, std::array<Lane, 4>& out) {
  U64x8 w[4];
  load_columns(rows, 3, w);
  for (std::size_t k = 0; k < 4; ++k) store(out[k].data(), w[k]);
}
SYNPROXY_KERNEL void load_half_rows(const Rows& rows, std::array<Lane, 2>& out) {
  U64x8 w[2];
  load_two_columns(rows, 3, w);
  for (std::size_t k = 0; k < 2; ++k) store(out[k].data(), w[k]);
}
SYNPROXY_KERNEL void store_rows(const Rows& rows, std::uint32_t lanes,
                                const std::array<Lane, 4>& in) {
  U64x8 w[4];
  for (std::size_t k = 0; k < 4; ++k) w[k] = load(in[k].data());
  lanes == 0xff ? store_columns<true>(rows, lanes, 3, w) : store_columns<false>(rows, lanes, 3, w);
}
TEST_F(LANES_TEST_NAME, RowsBecomeColumnsAndColumnsRows) {
  constexpr std::size_t kBytes = 3 + 32;
  std::array<std::vector<std::uint8_t>, kLanes> from;
  std::array<std::vector<std::uint8_t>, kLanes> to;
  Rows rows;
  for (std::size_t i = 0; i < kLanes; ++i) {
    for (std::size_t b = 0; b < kBytes; ++b)
      from[i].push_back(static_cast<std::uint8_t>(random_()));
    rows[i] = from[i].data();
  }
  std::array<Lane, 4> columns;
  load_rows(rows, columns);
  std::array<Lane, 2> half;
  load_half_rows(rows, half);
  ASSERT_TRUE(std::equal(half.begin(), half.end(), columns.begin()));
  for (std::size_t i = 0; i < kLanes; ++i) {
    for (std::size_t k = 0; k < 4; ++k) {
      std::uint64_t word = 0;
      std::memcpy(&word, from[i].data() + 3 + 8 * k, 8);
      ASSERT_EQ(columns[k][i], word);
    }
  }
  for (std::uint32_t lanes = 0; lanes < 256; ++lanes) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      to[i].assign(kBytes, 0xa5);
      rows[i] = to[i].data();
    }
    store_rows(rows, lanes, columns);
    for (std::size_t i = 0; i < kLanes; ++i) {
      std::vector<std::uint8_t> expected(kBytes, 0xa5);
      if ((lanes >> i & 1U) != 0) std::copy(from[i].begin() + 3, from[i].end(), &expected[3]);
      ASSERT_EQ(to[i], expected) << "lanes " << lanes;
    }
  }
}

SYNPROXY_KERNEL void load_two_words(const std::uint64_t* first, Lane& even, Lane& odd) {
  const WordPair p = load_pairs(first, 6);
  store(even.data(), p.even);
  store(odd.data(), p.odd);
}
TEST_F(LANES_TEST_NAME, PairsOfWordsComeFromPlacesApart) {
  std::array<std::uint64_t, 6 * kLanes> words;
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = i;
  Lane even;
  Lane odd;
  load_two_words(words.data() + 2, even, odd);
  for (std::size_t i = 0; i < kLanes; ++i) {
    EXPECT_EQ(even[i], 6 * i + 2);
    EXPECT_EQ(odd[i], 6 * i + 3);
  }
}

SYNPROXY_KERNEL void sum(const std::array<const std::uint8_t*, kLanes>& from, const Lane& length,
                         Lane& out) {
  store(out.data(), sums_of_bytes(from, length));
}
// The buffers end where the bytes end, so a read behind them is one that a sanitizer sees.
TEST_F(LANES_TEST_NAME, BytesAreSummedUpToTheirEnd) {
  for (std::size_t first = 4; first <= 64; ++first) {
    std::array<std::vector<std::uint8_t>, kLanes> bytes;
    std::array<const std::uint8_t*, kLanes> from;
    Lane length;
    for (std::size_t i = 0; i < kLanes; ++i) {
      length[i] = 4 + (first - 4 + 7 * i) % 61;
      for (std::size_t b = 0; b < length[i]; ++b) {
        bytes[i].push_back(static_cast<std::uint8_t>(random_() % 4 == 0 ? 0xff : random_()));
      }
      from[i] = bytes[i].data();
    }
    Lane out;
    sum(from, length, out);
    for (std::size_t i = 0; i < kLanes; ++i) {
      std::uint64_t expected = 0;
      for (std::size_t b = 0; b < length[i]; ++b) {
        expected += std::uint64_t{bytes[i][b]} << 8 * (b % 4);
      }
      ASSERT_EQ(out[i], expected) << length[i] << " bytes";
    }
  }
}

SYNPROXY_KERNEL bool pair_in(const std::uint8_t* from, std::size_t size) {
  return has_pair(from, size, 8, 10);
}
TEST_F(LANES_TEST_NAME, APairOfBytesIsFoundWhereItIsWhole) {
  for (std::size_t size = 0; size < 64; ++size) {
    for (std::size_t at = 20; at + 1 < 32 + size; ++at) {
      std::vector<std::uint8_t> bytes(32 + size, 8);
      bytes[at + 1] = 10;
      ASSERT_EQ(pair_in(bytes.data() + 32, size), at >= 32) << size << ", " << at;
      bytes[at] = 9;
      ASSERT_FALSE(pair_in(bytes.data() + 32, size)) << size << ", " << at;
    }
  }
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
