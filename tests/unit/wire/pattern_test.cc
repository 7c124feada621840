// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/pattern.h"

#include <gtest/gtest.h>

#include <cstring>

namespace synproxy {
namespace {

using TwelveBytes = std::array<std::uint8_t, 12>;

// Bytes 2 and 3 are 0x0800; of byte 6 the upper half is 4.
constexpr BytePattern<8> kPattern = [] {
  BytePattern<8> p;
  p.fix(2, std::uint16_t{0x0800});
  p.fix(6, std::uint8_t{0x4f}, std::uint8_t{0xf0});
  return p;
}();
constexpr TwelveBytes kFits{0xaa, 0xbb, 0x08, 0x00, 0xcc, 0xdd, 0x45, 0xee, 1, 2, 3, 4};

template <typename Word>
bool fits(const TwelveBytes& bytes, std::size_t at) {
  Word raw;
  std::memcpy(&raw, &bytes[at], sizeof raw);
  return kPattern.word<Word>(at).difference(raw) == 0;
}

// The pattern of a word looks at the bits that are fixed in it, and at no others.
template <typename Word>
void every_bit_of_a_word() {
  for (std::size_t at = 0; at + sizeof(Word) <= kFits.size(); ++at) {
    ASSERT_TRUE(fits<Word>(kFits, at)) << at;
    for (std::size_t bit = 0; bit < 8 * kFits.size(); ++bit) {
      const std::size_t byte = bit / 8;
      const auto flipped = static_cast<std::uint8_t>(1U << bit % 8);
      TwelveBytes other = kFits;
      other[byte] ^= flipped;
      const bool fixed = byte == 2 || byte == 3 || (byte == 6 && flipped >= 0x10);
      const bool seen = byte >= at && byte < at + sizeof(Word);
      EXPECT_EQ(fits<Word>(other, at), !(fixed && seen)) << at << ' ' << bit;
    }
  }
}

TEST(Pattern, WordSeesExactlyItsFixedBits) {
  every_bit_of_a_word<std::uint8_t>();
  every_bit_of_a_word<std::uint16_t>();
  every_bit_of_a_word<std::uint32_t>();
  every_bit_of_a_word<std::uint64_t>();
}

TEST(Pattern, FixAllMovesAPatternAndLeavesTheRest) {
  BytePattern<16> p;
  p.fix(0, std::uint8_t{7});
  p.fix_all(kPattern, 4);
  EXPECT_EQ(p.mask[0], 0xff);
  EXPECT_EQ(p.value[0], 7);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(p.mask[4 + i], kPattern.mask[i]) << i;
    EXPECT_EQ(p.value[4 + i], kPattern.value[i]) << i;
  }
  EXPECT_EQ(p.mask[15], 0);
}

TEST(Pattern, ValueHasNoBitOutsideItsMask) {
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(kPattern.value[i] & ~kPattern.mask[i], 0) << i;
}

}  // namespace
}  // namespace synproxy
