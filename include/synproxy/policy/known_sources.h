// SPDX-License-Identifier: BSD-3-Clause
// Remembers which senders have sent fragments that belonged to a spliced connection.
//
// The workers share one: one worker puts a source's fragments together, another may own the
// connection. Each slot is one word, so there is nothing to lock. A slot that two sources want is
// the last one's; the other is learned again from its next packet.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace synproxy {

class KnownSources {
 public:
  static constexpr std::uint64_t kLifeMs = 600'000;

  // `source`: fragment_source().
  [[nodiscard]] bool knows(std::uint64_t source, std::uint64_t now_ms) const {
    const std::uint64_t word = slot(source).load(std::memory_order_relaxed);
    const std::uint64_t seconds = (now_ms / 1000 - word) & kSecondBits;
    return (word & ~kSecondBits) == tag_of(source) && seconds < kLifeMs / 1000;
  }
  void learn(std::uint64_t source, std::uint64_t now_ms) {
    std::atomic<std::uint64_t>& word = slot(source);
    const std::uint64_t fresh = tag_of(source) | (now_ms / 1000 & kSecondBits);
    // Written once a second at most: the readers keep the line.
    if (word.load(std::memory_order_relaxed) != fresh) {
      word.store(fresh, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr std::size_t kSlots = 4096;  // 32 KB
  static constexpr std::uint64_t kSecondBits = (1U << 20) - 1;

  // Never zero, as an empty slot is.
  static std::uint64_t tag_of(std::uint64_t source) {
    return (source & ~kSecondBits) | std::uint64_t{1} << 63;
  }
  [[nodiscard]] std::atomic<std::uint64_t>& slot(std::uint64_t source) {
    return slots_[source % kSlots];
  }
  [[nodiscard]] const std::atomic<std::uint64_t>& slot(std::uint64_t source) const {
    return slots_[source % kSlots];
  }

  std::array<std::atomic<std::uint64_t>, kSlots> slots_{};
};

}  // namespace synproxy
