// SPDX-License-Identifier: BSD-3-Clause
// A value that one thread writes and many threads read, without a lock and without waiting.
//
// Theory of operation. This is a sequence lock whose readers never spin. The version is even while
// the value is complete, and odd while it is being written. The words of the value are atomics, so
// reading during a write is defined behaviour. Once per burst a reader compares the version with
// the one that it has. As long as nothing is published, this is one load of a cache line that
// nobody writes. If the version differs, the reader copies the value. The copy counts if the
// version is even and the same before and after. Otherwise the reader keeps what it has and asks
// again with its next burst. So no reader sees half of a value, the writer cannot hold up a reader,
// and whoever begins to read after publish() has returned gets the new value.
//
// Why it is correct. Words are stored with release and loaded with acquire. So a reader that has
// loaded any word of a newer value finds the version odd or newer when it looks for the second
// time. On x86 all of these are plain moves.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace synproxy {

template <typename T>
class Published {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using Version = std::uint64_t;
  static constexpr Version kNone = 0;  // version of a reader that has nothing yet

  explicit Published(const T& value) { publish(value); }

  // Call from one thread only. Returns the version of this value; later ones are greater.
  Version publish(const T& value) {
    std::array<std::uint64_t, kWords> words{};
    std::memcpy(words.data(), &value, sizeof value);
    const Version before = version_.load(std::memory_order_relaxed);
    version_.store(before + 1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_release);
    version_.store(before + 2, std::memory_order_release);
    return before + 2;
  }

  // Any thread. True: `out` and `seen` are those of a newer value. False: neither has changed.
  [[nodiscard]] bool news(Version& seen, T& out) const {
    const Version version = version_.load(std::memory_order_acquire);
    if (version == seen) [[likely]] {
      return false;
    }
    return copy(version, seen, out);
  }

 private:
  static constexpr std::size_t kWords = (sizeof(T) + 7) / 8;

  [[gnu::cold]] bool copy(Version version, Version& seen, T& out) const {
    if ((version & 1U) != 0) return false;
    std::array<std::uint64_t, kWords> words;
    for (std::size_t i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) != version) return false;
    std::memcpy(static_cast<void*>(&out), words.data(), sizeof out);
    seen = version;
    return true;
  }

  // On a cache line of its own, so that no write to a neighbour makes every reader fetch the line
  // again.
  alignas(64) std::atomic<Version> version_{kNone};
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace synproxy
