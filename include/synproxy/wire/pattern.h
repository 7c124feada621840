// SPDX-License-Identifier: BSD-3-Clause
// The bits that all frames of a kind have in common. A kind is written down once, field by field.
// Each user reads it in words of the size that suits it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"

namespace synproxy {

// A pattern of one word, as it lies in memory.
template <typename Word>
struct Pattern {
  Word mask = 0;
  Word value = 0;

  // 0: all bits under the mask match.
  [[nodiscard]] constexpr Word difference(Word raw) const { return (raw & mask) ^ value; }
};

template <std::size_t kBytes>
struct BytePattern {
  std::array<std::uint8_t, kBytes> mask{};
  std::array<std::uint8_t, kBytes> value{};

  // Fixes `bits` of the big-endian field at byte `at` to those of `host`.
  template <typename Field>
  constexpr void fix(std::size_t at, Field host, Field bits = static_cast<Field>(~Field{0})) {
    for (std::size_t i = 0; i < sizeof(Field); ++i) {
      const std::size_t shift = 8 * (sizeof(Field) - 1 - i);
      mask[at + i] = static_cast<std::uint8_t>(bits >> shift);
      value[at + i] = static_cast<std::uint8_t>((host & bits) >> shift);
    }
  }
  // Fixes all that `other` fixes, `at` bytes further on.
  template <std::size_t kOther>
  constexpr void fix_all(const BytePattern<kOther>& other, std::size_t at = 0) {
    for (std::size_t i = 0; i < kOther; ++i) {
      if (other.mask[i] == 0) continue;
      mask[at + i] = other.mask[i];
      value[at + i] = other.value[i];
    }
  }
  // The pattern of the word at byte `at`. Bytes behind the end may have any value.
  template <typename Word>
  [[nodiscard]] constexpr Pattern<Word> word(std::size_t at) const {
    std::array<std::uint8_t, sizeof(Word)> m{};
    std::array<std::uint8_t, sizeof(Word)> v{};
    for (std::size_t i = 0; i < sizeof(Word) && at + i < kBytes; ++i) {
      m[i] = mask[at + i];
      v[i] = value[at + i];
    }
    return {std::bit_cast<Word>(m), std::bit_cast<Word>(v)};
  }
};

}  // namespace synproxy
