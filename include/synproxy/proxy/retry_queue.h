// SPDX-License-Identifier: BSD-3-Clause
// What has to be repeated after a fixed delay. It is a FIFO, because all entries wait equally long.
//
// There is no timer object per flow. An entry may outlive the need for it. The code that takes it
// out compares the flow's cookie, which is random, to see whether the record is still the same
// connection.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "synproxy/flow/record.h"

namespace synproxy {

class RetryQueue {
 public:
  struct Entry {
    FlowIndex flow;
    std::uint32_t cookie;
    std::uint32_t tsecr;        // server's TSval, for the repeat of an ACK
    std::uint32_t deadline_ms;  // worker's clock modulo 2^32
  };

  // `capacity` is rounded up to a power of two. A page is touched when it is first used.
  explicit RetryQueue(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), ring_(new Entry[mask_ + 1]) {}

  // False: the queue is full, and the connection does without this repeat.
  bool push(const Entry& e) {
    if (tail_ - head_ > mask_) return false;
    ring_[tail_++ & mask_] = e;
    return true;
  }
  bool pop_due(std::uint32_t now_ms, Entry& out) {
    if (head_ == tail_) return false;
    const Entry& e = ring_[head_ & mask_];
    if (static_cast<std::int32_t>(now_ms - e.deadline_ms) < 0) return false;
    out = e;
    // An empty queue begins at its first page again: it touches as many pages as it ever needed.
    if (++head_ == tail_) head_ = tail_ = 0;
    return true;
  }
  [[nodiscard]] std::size_t size() const { return tail_ - head_; }

 private:
  std::size_t mask_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::unique_ptr<Entry[]> ring_;
};

}  // namespace synproxy
