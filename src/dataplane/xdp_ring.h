// SPDX-License-Identifier: BSD-3-Clause
// One of the four rings that an AF_XDP socket shares with the kernel (linux/if_xdp.h).
//
// Producer and consumer count entries without end, modulo 2^32. Each is written by one side only;
// its store releases the entries before it, and the other side's load acquires them. What the
// kernel writes is bounded here: no index leaves the ring, and no ring holds more than its size.
#pragma once

#include <linux/if_xdp.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

namespace synproxy::dataplane {

template <typename Entry>
class XdpRing {
 public:
  // `map`: of so many entries, a power of two. Throws std::system_error if `at` lies outside.
  XdpRing(std::span<std::byte> map, const xdp_ring_offset& at, std::uint32_t size)
      : mask_(size - 1) {
    const auto holds = [&](std::uint64_t from, std::uint64_t one, std::uint64_t many) {
      return from <= map.size() && one * many <= map.size() - from &&
             from % std::min<std::uint64_t>(one, alignof(Entry)) == 0;
    };
    if (!std::has_single_bit(size) || !holds(at.producer, kWord, 1) ||
        !holds(at.consumer, kWord, 1) || !holds(at.flags, kWord, 1) ||
        !holds(at.desc, sizeof(Entry), size)) {
      throw std::system_error(EPROTO, std::generic_category(), "AF_XDP ring");
    }
    producer_ = reinterpret_cast<std::uint32_t*>(map.data() + at.producer);
    consumer_ = reinterpret_cast<std::uint32_t*>(map.data() + at.consumer);
    flags_ = reinterpret_cast<std::uint32_t*>(map.data() + at.flags);
    entries_ = reinterpret_cast<Entry*>(map.data() + at.desc);
  }

  // Bytes of a mapping that holds it.
  [[nodiscard]] static std::size_t bytes(const xdp_ring_offset& at, std::uint32_t size) {
    return at.desc + std::size_t{size} * sizeof(Entry);
  }

  [[nodiscard]] std::uint32_t size() const { return mask_ + 1; }
  [[nodiscard]] Entry& operator[](std::uint32_t index) const { return entries_[index & mask_]; }

  [[nodiscard]] std::uint32_t producer() const {
    return std::atomic_ref(*producer_).load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint32_t consumer() const {
    return std::atomic_ref(*consumer_).load(std::memory_order_acquire);
  }
  void set_producer(std::uint32_t index) const {
    std::atomic_ref(*producer_).store(index, std::memory_order_release);
  }
  void set_consumer(std::uint32_t index) const {
    std::atomic_ref(*consumer_).store(index, std::memory_order_release);
  }
  // How many entries wait from `consumer` on.
  [[nodiscard]] std::uint32_t waiting(std::uint32_t consumer) const {
    return std::min(producer() - consumer, size());
  }
  // The kernel sleeps, and has to be told of what was produced.
  [[nodiscard]] bool needs_wakeup() const {
    // It looks at the ring again after it has set the flag: so we look at the flag after the ring.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return (std::atomic_ref(*flags_).load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
  }

 private:
  static constexpr std::uint64_t kWord = sizeof(std::uint32_t);

  std::uint32_t* producer_;
  std::uint32_t* consumer_;
  std::uint32_t* flags_;
  Entry* entries_;
  std::uint32_t mask_;
};

}  // namespace synproxy::dataplane
