// SPDX-License-Identifier: BSD-3-Clause
// A copy of what another thread may be writing: each word is read once, and whole. The words need
// not fit together; who takes the copy finds that out later (proxy/carried.h). The writer knows
// nothing of it and pays nothing.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace synproxy {

template <typename T>
[[nodiscard]] T copy_of_live(const T& live) {
  using Word [[gnu::may_alias]] = std::uint64_t;
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % kWord == 0 && alignof(T) >= kWord);
  const auto* from = reinterpret_cast<const Word*>(&live);
  std::array<std::uint64_t, sizeof(T) / kWord> words;
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
  }
  return std::bit_cast<T>(words);
}

}  // namespace synproxy
