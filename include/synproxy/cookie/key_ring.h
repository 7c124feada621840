// SPDX-License-Identifier: BSD-3-Clause
// Passes epoch keys from the thread that derives them to the workers that use them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace synproxy {

// What one cookie layout needs in one epoch. Never zero as a whole.
struct LayoutKey {
  std::uint64_t k0 = 0;  // SipHash key
  std::uint64_t k1 = 0;
  std::uint64_t multiplier = 0;  // of the universal hash over the option bits; odd
};

struct EpochKeys {
  std::uint64_t epoch = 0;  // Unix time divided by the length of an epoch
  LayoutKey timestamps;     // client with timestamps
  LayoutKey plain;          // client without
};
[[nodiscard]] constexpr const LayoutKey& key_of_layout(const EpochKeys& keys, bool timestamps) {
  return timestamps ? keys.timestamps : keys.plain;
}

// One slot per epoch modulo 4. The previous, current and next epoch are always there, and the
// writer writes the slot that nobody reads any more. A reader so late that it still reads that slot
// notices, and gets nothing instead of a mixture: key_ring.cc says how.
class KeyRing {
 public:
  // One writer. Throws std::invalid_argument, and leaves the slot as it was, if a SipHash key is
  // zero or a multiplier even: a rotation never puts a guessable key in place of a good one.
  void publish(const EpochKeys& keys);
  // Any thread. Returns false and leaves `out` untouched if the epoch is not published, or no
  // longer.
  [[nodiscard]] bool read(std::uint64_t epoch, EpochKeys& out) const;
  void clear();  // wipes all slots, at exit

 private:
  struct Slot {
    std::atomic<std::uint64_t> epoch{~0ULL};
    std::array<std::atomic<std::uint64_t>, 6> words{};
  };
  std::array<Slot, 4> slots_;
};

}  // namespace synproxy
