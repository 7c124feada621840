// SPDX-License-Identifier: BSD-3-Clause
// Hands out a region of memory that outlives the process, piece by piece, always in the same order.
//
// What a dead process has left there is found again, and may be anything: a record that was being
// written, or bytes that somebody else has put there. So whoever takes memory here has a restore()
// that believes nothing: it looks at each entry and builds anew what follows from the entries
// (index, free lists, sets, counts). A region of zeroes is an empty one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include "synproxy/flow/mapping.h"

namespace synproxy {

// Of everything in a region. Raise it whenever the meaning of any byte there changes: FlowRecord,
// FlowLooks, FlowBirths, ReplayFilter, LinkTable, ServiceTable.
inline constexpr std::uint32_t kStoreVersion = 3;

class Arena {
 public:
  // `region` begins on a page and outlives all that is taken from it.
  explicit Arena(std::span<std::byte> region) : rest_(region) {}

  // What a piece takes of the region. Pieces begin on pages.
  [[nodiscard]] static constexpr std::size_t taken_by(std::size_t bytes) {
    constexpr std::size_t kPage = 4096;
    return (bytes + kPage - 1) / kPage * kPage;
  }
  // Throws std::bad_alloc if the region is too small.
  [[nodiscard]] Mapping take(std::size_t bytes) {
    if (bytes > rest_.size() || taken_by(bytes) > rest_.size()) throw std::bad_alloc();
    Mapping piece(rest_.first(bytes));
    rest_ = rest_.subspan(taken_by(bytes));
    return piece;
  }

 private:
  std::span<std::byte> rest_;
};

// From the arena, or fresh pages if there is none.
[[nodiscard]] inline Mapping memory_from(Arena* arena, std::size_t bytes, Mapping::Kind kind) {
  return arena != nullptr ? arena->take(bytes) : Mapping(bytes, kind);
}

// How many entries of an array were found good, and how many were not.
struct Found {
  std::uint32_t kept = 0;
  std::uint32_t dropped = 0;
};

}  // namespace synproxy
