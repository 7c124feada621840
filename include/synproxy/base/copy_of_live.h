// SPDX-License-Identifier: BSD-3-Clause
// A copy of what another thread may be writing: each word is read once, and whole. The words need
// not fit together. The writer knows nothing of it and pays nothing.
//
// The writer stores plainly, so by the letter of C++ reader and writer race; atomic stores would
// cost every packet. Why the race cannot matter:
//
// - The writer: nobody else stores what it reads. So it does what it would do alone, whatever the
//   compiler makes of its stores: delays them, joins them, or keeps something else there for a
//   while.
// - The reader takes each word for what it is, once, and believes nothing of it: a copy is carried
//   to somebody who judges it as he would judge a store that anybody has written, or it is
//   compared. It is an index only where each of its values is one. What lies beside it and is not
//   read in this way (looks, links, services) is only copied, too.
// - The result does not count yet. Before it does, the writer's thread has ended, which orders all
//   of its stores before what is read then; everything is read again, and what differs is carried
//   anew (proxy/carried.h). A copy that was torn stays only if its digest of 64 bits is by chance
//   that of what it should have been.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace synproxy {

template <typename T>
using WordsOf = std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)>;

// Where many are only compared, these are faster than a copy: put together from words and taken
// apart in other sizes, a copy has to wait for its own stores.
template <typename T>
[[nodiscard]] WordsOf<T> words_of_live(const T& live) {
  using Word [[gnu::may_alias]] = std::uint64_t;
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(Word) == 0 &&
                alignof(T) >= sizeof(Word));
  const auto* from = reinterpret_cast<const Word*>(&live);
  return [from]<std::size_t... kWord>(std::index_sequence<kWord...>) {
    return WordsOf<T>{__atomic_load_n(from + kWord, __ATOMIC_RELAXED)...};
  }
  (std::make_index_sequence<std::tuple_size_v<WordsOf<T>>>());
}

template <typename T>
[[nodiscard]] T copy_of_live(const T& live) {
  return std::bit_cast<T>(words_of_live(live));
}

}  // namespace synproxy
