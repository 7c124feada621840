// SPDX-License-Identifier: BSD-3-Clause
// Remembers used cookies after their flows are gone, so that a late copy of an ACK opens nothing.
//
// There is a blocked Bloom filter for each of the three epochs whose cookies can be alive
// (previous, current, next). An entry lives in one cache line: the first word names the epoch that
// the line was written in, and the other 15 are the filter. To a reader, a line of another epoch is
// empty; the first writer clears it. So an epoch takes over its slot without a pass over the memory
// and without a pause.
//
// The filter never forgets an entry of a live epoch, up to one and a half times the expected load.
// Beyond that it answers no for that epoch, because refusing live clients is worse than opening a
// connection twice. It may take a fresh fingerprint for an old one. At the expected load the chance
// is below kReplayFalsePositives (measured: 0.13 %); at three quarters of the load it is a fifth of
// that, and at one and a half times the load eight times that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "synproxy/flow/arena.h"
#include "synproxy/flow/mapping.h"

namespace synproxy {

inline constexpr double kReplayFalsePositives = 0.0015;

// A line of a filter on its way to another process.
struct CarriedReplay {
  std::uint64_t epoch = 0;
  std::uint64_t entries = 0;  // of the whole epoch, that were not told with other lines before
  std::uint32_t line = 0;     // of `lines`
  std::uint32_t lines = 0;
  std::array<std::uint32_t, 15> bits{};
  std::uint32_t unused = 0;
};
static_assert(std::is_trivially_copyable_v<CarriedReplay> && sizeof(CarriedReplay) == 88);

// How many entries of each epoch were told.
struct ReplayEntries {
  struct OfEpoch {
    std::uint64_t epoch = 0;
    std::uint64_t entries = 0;
  };
  std::array<OfEpoch, 3> told{};
};

class ReplayFilter {
 public:
  // Takes 2 bytes for each expected entry in each of three epochs, when they are first touched.
  // Throws std::bad_alloc.
  explicit ReplayFilter(std::uint32_t expected_per_epoch, Arena* arena = nullptr);
  ReplayFilter(const ReplayFilter&) = delete;
  ReplayFilter& operator=(const ReplayFilter&) = delete;
  // Of an arena.
  [[nodiscard]] static std::size_t store_bytes(std::uint32_t expected_per_epoch);
  // Takes over what stands in the arena: once, before anything else. The bits may be anything. An
  // epoch that cannot have been is dropped, because it would keep its slot.
  void restore(std::uint64_t current_epoch);

  // --- From one filter to another one, of any size. A larger one remembers more than was inserted,
  // a smaller one is fuller: a cookie that was used stays so.
  // How many lines there are; what is carried of each of them is known by a digest in `seen`.
  [[nodiscard]] std::uint32_t lines() const { return kSlots * lines_per_slot_; }
  // Finds those from `from` to `to` that differ from what was carried; of the epoch before the
  // current one, and later. Returns how many of them are in `out`, which is as long as needed.
  [[nodiscard]] std::size_t find_changed(std::span<const std::uint64_t> seen, std::uint32_t from,
                                         std::uint32_t to, std::uint64_t current_epoch,
                                         std::span<std::uint32_t> out) const;
  [[nodiscard]] CarriedReplay carry(std::uint32_t line, std::span<std::uint64_t> seen,
                                    ReplayEntries& entries) const;
  // Writes what waits. Before the last pass, on the thread that inserts or while that one rests.
  void settle();
  // Adds a line of another filter; what cannot be one is dropped.
  void adopt(const CarriedReplay& carried, std::uint64_t current_epoch);

  // `fingerprint`: 64 bits of a keyed hash of everything that identifies the ACK (addresses, ports,
  // VLANs, ISN and cookie). An epoch older than the one that holds its slot is past, and is
  // ignored.
  void insert(std::uint64_t epoch, std::uint64_t fingerprint);

  // Reads no filter memory if nothing was inserted in that epoch.
  [[nodiscard]] bool contains(std::uint64_t epoch, std::uint64_t fingerprint) const {
    const Slot& slot = state_->slots[epoch % kSlots];
    return slot.used != 0 && slot.epoch == epoch && slot.entries <= limit_ &&
           (is_waiting(epoch, fingerprint) || contains_in(epoch, fingerprint));
  }
  // Fetches what contains() will read. Always inline, as all that calls it and does nothing else:
  // GCC takes such a function for one without effect, and drops its calls.
  [[gnu::always_inline]] void prefetch(std::uint64_t epoch, std::uint64_t fingerprint) const {
    const Slot& slot = state_->slots[epoch % kSlots];
    if (slot.used != 0 && slot.epoch == epoch) __builtin_prefetch(line_of(epoch, fingerprint));
  }

  [[nodiscard]] std::size_t bytes() const { return memory_.bytes(); }

 private:
  static constexpr std::uint32_t kSlots = 3;
  struct Slot {
    std::uint64_t epoch = 0;
    std::uint64_t used = 0;  // 0 or 1
    std::uint64_t entries = 0;
  };
  struct alignas(64) Line {
    std::uint32_t epoch;  // modulo 2^32
    std::array<std::uint32_t, 15> bits;
  };
  static_assert(sizeof(Line) == 64);

  // An inserted entry whose line is being fetched. It is written when the ring comes round, so that
  // nobody waits for memory. An entry whose epoch has passed meanwhile is dropped: nobody needs it.
  struct Waiting {
    std::uint64_t epoch = 0;
    std::uint64_t fingerprint = 0;
    std::uint64_t used = 0;  // 0 or 1
  };
  static constexpr std::size_t kWaiting = 8;
  // All zero: nothing was inserted.
  struct State {
    std::array<Slot, kSlots> slots;
    std::array<Waiting, kWaiting> waiting;
    std::uint64_t next_waiting;
  };

  [[nodiscard]] Line* line_of(std::uint64_t epoch, std::uint64_t fingerprint) const {
    const std::uint64_t in_slot = (fingerprint >> 32) * lines_per_slot_ >> 32;
    return static_cast<Line*>(memory_.data()) + epoch % kSlots * lines_per_slot_ + in_slot;
  }
  [[nodiscard]] bool is_waiting(std::uint64_t epoch, std::uint64_t fingerprint) const;
  void write(const Waiting& entry);
  [[nodiscard]] bool contains_in(std::uint64_t epoch, std::uint64_t fingerprint) const;

  std::uint32_t lines_per_slot_;
  std::uint64_t limit_;
  Mapping memory_;
  State own_state_{};     // without an arena
  Mapping state_memory_;  // of an arena
  State* state_;
};

}  // namespace synproxy
