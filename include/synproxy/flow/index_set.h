// SPDX-License-Identifier: BSD-3-Clause
// A set of record numbers: one bit each. Every word of 64 bits has a bit in the level above, which
// says whether it is empty. So the next member is found in a few steps, however few there are, and
// an empty set is known without a look.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"

namespace synproxy {

class IndexSet {
 public:
  // For numbers below `capacity`. Takes an eighth of a byte for each, when it is first touched.
  // Throws std::bad_alloc.
  explicit IndexSet(std::uint32_t capacity) : memory_(bytes_for(capacity), Mapping::Kind::kSparse) {
    auto* at = static_cast<std::uint64_t*>(memory_.data());
    std::uint32_t bits = capacity;
    do {
      const std::uint32_t words = words_for(bits);
      levels_[depth_++] = {at, words};
      at += words;
      bits = words;
    } while (bits > 1);
  }

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] bool contains(FlowIndex i) const {
    return (levels_[0].words[i >> 6] >> (i & 63U) & 1U) != 0;
  }
  void insert(FlowIndex i) {
    if (contains(i)) return;
    ++size_;
    for (std::size_t level = 0; level < depth_; ++level) {
      std::uint64_t& word = levels_[level].words[i >> 6];
      const bool known = word != 0;
      word |= 1ULL << (i & 63U);
      if (known) return;
      i >>= 6;
    }
  }
  void erase(FlowIndex i) {
    if (!contains(i)) return;
    --size_;
    for (std::size_t level = 0; level < depth_; ++level) {
      std::uint64_t& word = levels_[level].words[i >> 6];
      word &= ~(1ULL << (i & 63U));
      if (word != 0) return;
      i >>= 6;
    }
  }
  // The first member at `from` or above it, else the lowest one. kNoFlow: the set is empty.
  [[nodiscard]] FlowIndex next(FlowIndex from) const {
    if (size_ == 0) return kNoFlow;
    const FlowIndex found = at_or_above(from);
    return found != kNoFlow ? found : at_or_above(0);
  }

 private:
  struct Level {
    std::uint64_t* words = nullptr;
    std::uint32_t count = 0;
  };
  static constexpr std::size_t kMaxDepth = 6;  // 64^6 is more than any record number

  [[nodiscard]] static constexpr std::uint32_t words_for(std::uint32_t bits) {
    return bits == 0 ? 1 : (bits - 1) / 64 + 1;
  }
  [[nodiscard]] static constexpr std::size_t bytes_for(std::uint32_t capacity) {
    std::size_t words = 0;
    std::uint32_t bits = capacity;
    do {
      bits = words_for(bits);
      words += bits;
    } while (bits > 1);
    return words * sizeof(std::uint64_t);
  }
  [[nodiscard]] FlowIndex at_or_above(std::uint32_t at) const {
    for (std::size_t level = 0; level < depth_; ++level) {
      if (at >> 6 >= levels_[level].count) return kNoFlow;
      const std::uint64_t rest = levels_[level].words[at >> 6] >> (at & 63U);
      if (rest == 0) {
        at = (at >> 6) + 1;
        continue;
      }
      at += static_cast<std::uint32_t>(std::countr_zero(rest));
      while (level-- != 0) {
        at = at << 6 | static_cast<std::uint32_t>(std::countr_zero(levels_[level].words[at]));
      }
      return at;
    }
    return kNoFlow;
  }

  Mapping memory_;
  std::array<Level, kMaxDepth> levels_{};
  std::size_t depth_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace synproxy
