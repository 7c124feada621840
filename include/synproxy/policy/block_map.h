// SPDX-License-Identifier: BSD-3-Clause
// For equal blocks of addresses: whether a set holds the whole block, nothing of it, or a part.
//
// It answers for nearly every address with one look into a table that is made so large that few
// blocks hold a part: some sixteen blocks for each bound of the set, 2^24 at most. So a set of a
// thousand prefixes has a table of 8 KB, which stays in the cache, and one of a million 4 MB.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace synproxy {

class BlockMap {
 public:
  enum class Holds : std::uint8_t { kNothing, kAll, kPart };
  static constexpr unsigned kMostBits = 24;

  BlockMap() = default;
  // For a set with so many bounds. Throws std::bad_alloc.
  explicit BlockMap(std::size_t bounds)
      : bits_(std::min(kMostBits, static_cast<unsigned>(std::bit_width(bounds | 1)) + 4)),
        words_((std::size_t{1} << bits_) / kPerWord) {}

  // An address is in the block of its first bits().
  [[nodiscard]] unsigned bits() const { return bits_; }
  [[nodiscard]] std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }

  [[nodiscard]] Holds operator[](std::size_t block) const {
    return static_cast<Holds>(words_[block / kPerWord] >> 2 * (block % kPerWord) & 3U);
  }
  void prefetch(std::size_t block) const { __builtin_prefetch(&words_[block / kPerWord]); }
  void set(std::size_t block, Holds holds) {
    std::uint64_t& word = words_[block / kPerWord];
    const auto at = 2 * (block % kPerWord);
    word = (word & ~(std::uint64_t{3} << at)) | static_cast<std::uint64_t>(holds) << at;
  }

  friend bool operator==(const BlockMap&, const BlockMap&) = default;

 private:
  static constexpr std::size_t kPerWord = 32;

  unsigned bits_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace synproxy
