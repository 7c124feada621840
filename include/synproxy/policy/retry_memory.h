// SPDX-License-Identifier: BSD-3-Clause
// Remembers SYNs that were shed, so that the client that sends one again is known.
//
// Time is cut into generations of 900 ms: a repeat comes a second later (RFC 6298 section 2.1) and
// therefore always in a later generation than its first SYN. Each generation is a blocked Bloom
// filter of two probes; all four that are kept stand side by side, so that asking for the last two
// and noting in the present one touch one cache line. A block is stamped with its generation: one
// of another generation is empty to a reader and is cleared by the first writer, so nobody sweeps.
//
// Noting is paced: a generation takes kEntriesPerLine for each of its lines, evenly over its time,
// and then takes one stranger in 16 for a repeat (kRetryFalsePositives, for the two generations
// that are asked). When more are shed than that, only those are noted whose source falls into a
// window of the hash; it moves on by its own width with each generation, so that a client that
// falls outside of it at its first SYN has a new chance at the next one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/flow/mapping.h"

namespace synproxy {

inline constexpr double kRetryFalsePositives = 0.065;  // at the full pace

class RetryMemory {
 public:
  static constexpr std::uint64_t kGenerationMs = 900;
  static constexpr std::uint32_t kEntriesPerLine = 11;

  // 64 bytes a line, taken when first touched. Throws std::bad_alloc.
  explicit RetryMemory(std::size_t lines);

  // Before the first of them, and about every millisecond. `behind`: there was no time for the
  // cache misses of this. Where that was so in most milliseconds of the last ten, half as many are
  // noted from here on.
  void set_time(std::uint64_t now_ms, bool behind = false);

  // Whether this source is remembered at all at the moment; `place` is its hash.
  [[nodiscard]] bool concerns(std::uint32_t place) const {
    unsigned windows = 0;
    for (const Window& w : noted_) windows |= w.has(place) ? 1U : 0U;
    return windows != 0;
  }
  // `mark`: a hash of the whole SYN.
  void prefetch(std::uint64_t mark) const { __builtin_prefetch(line_of(mark), 1); }
  // Was it noted in one of the last two generations? And notes it in the present one.
  [[nodiscard]] bool asked_again(std::uint32_t place, std::uint64_t mark);

  [[nodiscard]] std::size_t bytes() const { return memory_.bytes(); }
  // Of 2^32 sources, those that are noted at the moment.
  [[nodiscard]] std::uint32_t width() const { return noted_[0].width; }

 private:
  struct Block {
    std::uint64_t stamp_and_bits;  // the generation in the lowest 16 bits, 48 of the filter
    std::uint64_t bits;
  };
  struct alignas(64) Line {
    std::array<Block, 4> of;  // by generation
  };
  static_assert(sizeof(Line) == 64);

  // Sources from `begin` on, modulo 2^32.
  struct Window {
    std::uint32_t begin = 0;
    std::uint32_t width = 0;
    [[nodiscard]] bool has(std::uint32_t place) const { return place - begin <= width; }
  };

  [[nodiscard]] Line* line_of(std::uint64_t mark) const {
    return static_cast<Line*>(memory_.data()) + ((mark >> 32) * lines_ >> 32);
  }
  void pace(bool behind_now);

  std::uint64_t lines_;
  Mapping memory_;
  std::array<Window, 3> noted_;  // present generation, the last, the one before
  std::uint64_t now_ms_ = 0;
  std::uint64_t paced_ms_ = 0;  // the last look at the pace
  std::uint64_t generation_ = 0;
  std::uint64_t fresh_ = 0;  // noted since then
  unsigned ticks_ = 0;       // since then
  unsigned behind_ = 0;      // of these
};

}  // namespace synproxy
