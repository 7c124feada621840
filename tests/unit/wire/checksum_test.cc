// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "support/exact_buffer.h"
#include "support/naive_checksum.h"
#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::ExactBuffer;
using test::NaiveSum;

std::uint16_t wire_checksum(std::span<const std::uint8_t> bytes) {
  return be16::from_raw(finish_sum(add_to_sum(0, bytes.data(), bytes.size()))).host();
}

TEST(Checksum, KnownSums) {
  struct Row {
    const char* sentence;
    Bytes bytes;
    std::uint16_t checksum;
  };
  const Row rows[] = {
      {"nothing", {}, 0xffff},
      {"the example of RFC 1071 section 3",
       {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7},
       0x220d},
      {"an odd byte counts as if a zero followed", {0xab}, 0x54ff},
      {"all ones sum to minus zero", {0xff, 0xff, 0xff, 0xff}, 0x0000},
      {"a carry out of the top comes in at the bottom", {0xff, 0xff, 0x00, 0x01}, 0xfffe},
      {"zeros", {0, 0, 0, 0, 0}, 0xffff},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.sentence);
    const ExactBuffer buffer(row.bytes);
    EXPECT_EQ(wire_checksum(buffer.span()), row.checksum);
  }
}

TEST(Checksum, FoldTakesTheLargestSums) {
  EXPECT_EQ(fold_sum(0), 0U);
  EXPECT_EQ(fold_sum(~0ULL), 0xffffU);
  EXPECT_EQ(fold_sum(~0ULL - 1), 0xfffeU);
  EXPECT_EQ(fold_sum(0xfffffffffffeffffULL), 0xfffeU);
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t v = random();
    NaiveSum s;
    s.add32(static_cast<std::uint32_t>(v >> 32)).add32(static_cast<std::uint32_t>(v));
    ASSERT_EQ(fold_sum(v), s.sum()) << v;
  }
}

TEST(Checksum, EveryLengthAndAlignmentAgreesWithTheNaiveSum) {
  std::mt19937 random(2);
  for (std::size_t length = 0; length <= 300; ++length) {
    for (std::size_t start = 0; start < 4; ++start) {
      Bytes bytes(start + length);
      for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
      const ExactBuffer buffer(bytes);
      const std::span part = buffer.span().subspan(start);
      ASSERT_EQ(wire_checksum(part), NaiveSum().add(part).checksum()) << length << '+' << start;
    }
  }
}

TEST(Checksum, AMillionRandomBuffersAgreeWithTheNaiveSum) {
  std::mt19937_64 random(3);
  Bytes pool(4096);
  for (auto& b : pool) b = static_cast<std::uint8_t>(random());
  // Runs of ones and zeros show mistakes with carries.
  std::fill_n(pool.begin() + 512, 128, std::uint8_t{0xff});
  std::fill_n(pool.begin() + 1024, 128, std::uint8_t{0});
  for (int i = 0; i < test::rounds(1'000'000); ++i) {
    const std::uint64_t r = random();
    pool[r % pool.size()] = static_cast<std::uint8_t>(r >> 56);
    const std::size_t length = (r >> 12) % 96;
    const std::span part(pool.data() + (r >> 24) % (pool.size() - length), length);
    // The sum continues from another one, as with a pseudo header; large ones too.
    const std::uint64_t before = (r & 0x8000) != 0 ? ~(r >> 40) : r >> 40;
    NaiveSum naive;
    naive.add32(static_cast<std::uint32_t>(before >> 32)).add32(static_cast<std::uint32_t>(before));
    std::uint32_t memory_order = 0;  // `before` is a sum of words as they lie in memory
    memory_order = be16(naive.sum()).raw();
    NaiveSum expected;
    expected.add16(memory_order).add(part);
    ASSERT_EQ(be16::from_raw(fold_sum(add_to_sum(before, part.data(), part.size()))).host(),
              expected.sum())
        << "input " << i;
  }
}

TEST(Checksum, LargestFrameOfOnesDoesNotOverflow) {
  const Bytes bytes(65535, 0xff);
  EXPECT_EQ(wire_checksum(bytes), NaiveSum().add(bytes).checksum());
}

TEST(Checksum, PseudoHeaderCoversAddressesProtocolAndLength) {
  std::mt19937 random(4);
  for (int i = 0; i < 10'000; ++i) {
    const bool ipv6 = (i & 1) != 0;
    Bytes addresses(ipv6 ? 32 : 8);
    for (auto& b : addresses) b = static_cast<std::uint8_t>(random());
    const auto protocol = static_cast<std::uint8_t>(random());
    // RFC 8200 section 8.1: the length has 32 bits.
    const std::uint32_t length = ipv6 ? static_cast<std::uint32_t>(random()) : random() & 0xffffU;
    const ExactBuffer buffer(addresses);
    const auto sum = fold_sum(pseudo_header_sum(buffer.data(), ipv6, protocol, length));
    ASSERT_EQ(be16::from_raw(sum).host(),
              test::naive_pseudo_header(addresses, protocol, length).sum());
  }
}

// After a change, ChecksumUpdate must give the same as a full sum over the changed bytes.
TEST(ChecksumUpdate, AMillionChangesAtEvenAndOddOffsetsEqualAFullSum) {
  std::mt19937_64 random(5);
  Bytes bytes(40);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
  constexpr std::size_t kField = 16;
  const auto full = [&] {
    Bytes copy = bytes;
    copy[kField] = copy[kField + 1] = 0;
    return NaiveSum().add(copy).checksum();
  };
  store_be<std::uint16_t>(bytes.data() + kField, full());
  for (int i = 0; i < test::rounds(1'000'000); ++i) {
    ChecksumUpdate update;
    ChecksumUpdate second;
    const std::uint64_t r = random();
    // Mostly the values around the two zeros of ones' complement.
    const auto value = [&](unsigned shift) {
      const auto v = static_cast<std::uint32_t>(r >> shift);
      return (v & 3) == 0 ? 0U : (v & 3) == 1 ? 0xffffffffU : (v & 3) == 2 ? 0xffffU : v;
    };
    const std::size_t at = 18 + (r & 0xf);
    const auto old32 = load_raw<std::uint32_t>(&bytes[at]);
    const std::uint32_t new32 = value(8);
    std::memcpy(&bytes[at], &new32, 4);
    update.replace32(old32, new32, (at & 1) != 0);
    const std::size_t word = (r >> 4 & 7) * 2;
    const auto old16 = load_raw<std::uint16_t>(&bytes[word]);
    const auto new16 = static_cast<std::uint16_t>(value(30));
    std::memcpy(&bytes[word], &new16, 2);
    second.replace16(old16, new16);
    update.add(second);
    update.apply(&bytes[kField]);
    // RFC 1624 section 3: 0x0000 and 0xffff are the same number; all other values must be equal.
    const unsigned incremental = load_be<std::uint16_t>(&bytes[kField]);
    ASSERT_EQ(incremental % 0xffffU, full() % 0xffffU) << "change " << i << " at " << at;
  }
}

// A TCP sum is never zero (its protocol number is not), so its checksum field is never 0xffff; eqn.
// 2 of RFC 1624 would produce it, eqn. 3 must not.
TEST(ChecksumUpdate, ACheckumThatIsNotAllOnesNeverBecomesAllOnes) {
  std::mt19937_64 random(6);
  const std::uint32_t edges[] = {0, 1, 0xfffe, 0xffff, 0x10000, 0xffff0000, 0xfffffffe, 0xffffffff};
  for (const std::uint32_t old_value : edges) {
    for (const std::uint32_t new_value : edges) {
      for (std::uint32_t checksum = 0; checksum < 0xffff; ++checksum) {
        ChecksumUpdate update;
        update.replace32(old_value, new_value);
        ASSERT_NE(update.applied_to(static_cast<std::uint16_t>(checksum)), 0xffffU)
            << old_value << " -> " << new_value << " at " << checksum;
      }
    }
  }
}

TEST(ChecksumUpdate, NoChangeKeepsTheField) {
  for (std::uint32_t checksum = 0; checksum <= 0xffff; ++checksum) {
    ASSERT_EQ(ChecksumUpdate().applied_to(static_cast<std::uint16_t>(checksum)), checksum);
  }
}

TEST(ChecksumUpdate, CorruptionStaysVisible) {
  for (unsigned bit = 0; bit < 16; ++bit) {
    Bytes bytes{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0, 0};
    const auto good = NaiveSum().add(bytes).checksum();
    store_be<std::uint16_t>(&bytes[6], static_cast<std::uint16_t>(good ^ 1U << bit));
    const auto before = load_raw<std::uint32_t>(bytes.data());
    const std::uint32_t after = 0xfeedf00dU;
    std::memcpy(bytes.data(), &after, 4);
    ChecksumUpdate update;
    update.replace32(before, after);
    update.apply(&bytes[6]);
    EXPECT_NE(NaiveSum().add(bytes).sum(), 0xffffU) << "bit " << bit;
  }
}

}  // namespace
}  // namespace synproxy
