// SPDX-License-Identifier: BSD-3-Clause
// Passes epoch keys from the thread that derives them to the workers that use them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace synproxy {

// What one cookie layout needs in one epoch. The key is never zero as a whole.
struct LayoutKey {
  std::uint64_t k0 = 0;  // SipHash key
  std::uint64_t k1 = 0;
  std::uint64_t multiplier = 0;  // of the universal hash over the option bits; odd
  bool tight = false;            // of the plain layout: fewer option bits, a longer tag (layout.h)
};

struct EpochKeys {
  std::uint64_t epoch = 0;  // Unix time divided by the length of an epoch
  LayoutKey timestamps;     // client with timestamps
  LayoutKey plain;          // client without
};
[[nodiscard]] constexpr const LayoutKey& key_of_layout(const EpochKeys& keys, bool timestamps) {
  return timestamps ? keys.timestamps : keys.plain;
}

// The keys of an epoch as words: so they stand in the ring and in the flow store, and go to the
// next process. First those of the layout with timestamps, then those of the plain one. The last
// word is 1 if plain cookies are tight, else 0; the ring settles and keeps that apart from the
// other words.
using KeyWords = std::array<std::uint64_t, 7>;
inline constexpr std::size_t kTightWord = 6;
[[nodiscard]] constexpr KeyWords words_of(const EpochKeys& keys) {
  const LayoutKey& t = keys.timestamps;
  const LayoutKey& p = keys.plain;
  return {t.k0, t.k1, t.multiplier, p.k0, p.k1, p.multiplier, p.tight ? 1U : 0U};
}
[[nodiscard]] constexpr EpochKeys epoch_keys(std::uint64_t epoch, const KeyWords& words) {
  return {
      .epoch = epoch,
      .timestamps = {.k0 = words[0], .k1 = words[1], .multiplier = words[2]},
      .plain = {
          .k0 = words[3], .k1 = words[4], .multiplier = words[5], .tight = words[kTightWord] != 0}};
}

// Whether the plain cookies of an epoch are tight is settled once, by the first who asks: a worker,
// when the epoch before has reached its middle. All who ask later get the same answer, so no two
// workers read a cookie differently. A wish that comes too late counts from the epoch after that.
//
// One slot per epoch modulo 4. The previous, current and next epoch are always there, and the
// writer writes the slot that nobody reads any more. A reader so late that it still reads that slot
// notices, and gets nothing instead of a mixture: key_ring.cc says how.
class KeyRing {
 public:
  // One writer. Throws std::invalid_argument, and leaves the slot as it was, if a SipHash key is
  // zero or a multiplier even: a rotation never puts a guessable key in place of a good one.
  void publish(const EpochKeys& keys);
  // Any thread. Returns false and leaves `out` untouched if the epoch is not published, or no
  // longer. EpochKeys::plain.tight is false: see is_tight().
  [[nodiscard]] bool read(std::uint64_t epoch, EpochKeys& out) const;
  void clear();  // wipes all slots, at exit

  // Any thread may call these.
  // Whether plain cookies shall be tight in the epochs that are not settled yet.
  void want_tight(bool tight) { want_tight_.store(tight, std::memory_order_relaxed); }
  // Whether the cookies of the epoch are tight. If nobody has asked before, this call settles it.
  // For the last four epochs that were asked for.
  [[nodiscard]] bool settle_tight(std::uint64_t epoch) const {
    return settle_tight(epoch, want_tight_.load(std::memory_order_relaxed));
  }
  // The same with another wish: that of the process before this one.
  bool settle_tight(std::uint64_t epoch, bool wish) const;
  // The same, but settles nothing: false as long as nobody has asked.
  [[nodiscard]] bool is_tight(std::uint64_t epoch) const;

 private:
  struct Slot {
    std::atomic<std::uint64_t> epoch{~0ULL};
    std::array<std::atomic<std::uint64_t>, kTightWord> words{};
    // The lowest bit: tight. Above it: the epoch for which that is settled. Readers settle it, so
    // it is no part of what the writer publishes.
    mutable std::atomic<std::uint64_t> settled{~0ULL};
  };
  std::array<Slot, 4> slots_;
  std::atomic<bool> want_tight_{false};
};

}  // namespace synproxy
