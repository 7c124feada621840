// SPDX-License-Identifier: BSD-3-Clause
// Remembers SYNs that were shed, so that a client that sends its SYN again is recognised.
//
// Time is cut into generations of 900 ms. A repeat comes a second later (RFC 6298 section 2.1), so
// it always falls into a later generation than its first SYN. Each generation is a blocked Bloom
// filter with two probes. The four that are kept stand side by side, so asking the last two and
// noting in the present one touches one cache line. A block is stamped with its generation. To a
// reader, a block of another generation is empty; the first writer clears it, so nobody sweeps.
//
// Noting is paced. A generation takes kEntriesPerLine entries for each of its lines, evenly over
// its time; at that load the two generations that are asked take one stranger in 16 for a repeat
// (kRetryFalsePositives). If more SYNs than that are shed, only those whose source hash falls into
// a window are noted. The window moves on by its own width with each generation, so a client
// outside it at its first SYN has a new chance at the next one.
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

  // Takes 64 bytes per line, when first touched. Throws std::bad_alloc.
  explicit RetryMemory(std::size_t lines);

  // Call it before the first question, and about every millisecond. `behind`: the worker had no
  // time for the cache misses of this memory. If most of the calls in the last ten milliseconds
  // said so, half as many sources are noted from now on.
  void set_time(std::uint64_t now_ms, bool behind = false);

  // Whether SYNs of this source are noted, or were in the last two generations; `place` is its
  // hash.
  [[nodiscard]] bool concerns(std::uint32_t place) const {
    unsigned windows = 0;
    for (const Window& w : noted_) windows |= w.has(place) ? 1U : 0U;
    return windows != 0;
  }
  // `mark`: a hash of the whole SYN.
  void prefetch(std::uint64_t mark) const { __builtin_prefetch(line_of(mark), 1); }
  // Returns whether the SYN was noted in one of the last two generations, and notes it in the
  // present one if the window has its place.
  [[nodiscard]] bool asked_again(std::uint32_t place, std::uint64_t mark);

  [[nodiscard]] std::size_t bytes() const { return memory_.bytes(); }
  // How many of 2^32 places are noted at the moment.
  [[nodiscard]] std::uint32_t width() const { return noted_[0].width; }

 private:
  struct Block {
    std::uint64_t stamp_and_bits;  // lowest 16 bits: the generation; 48 bits of the filter
    std::uint64_t bits;
  };
  struct alignas(64) Line {
    std::array<Block, 4> of;  // by generation
  };
  static_assert(sizeof(Line) == 64);

  // The places from `begin` on, modulo 2^32.
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
  std::array<Window, 3> noted_;  // of the present generation, the last and the one before
  std::uint64_t now_ms_ = 0;
  std::uint64_t paced_ms_ = 0;  // the last look at the pace
  std::uint64_t generation_ = 0;
  std::uint64_t fresh_ = 0;  // noted since then
  unsigned ticks_ = 0;       // since then
  unsigned behind_ = 0;      // of these
};

}  // namespace synproxy
