// SPDX-License-Identifier: BSD-3-Clause
// A number that one thread writes and any thread may read at any time.
#pragma once

#include <atomic>
#include <cstdint>

namespace synproxy {

// A single writer needs no atomic read-modify-write: a load and a plain store are cheaper.
class Counter {
 public:
  void add(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t v) { value_.store(v, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace synproxy
