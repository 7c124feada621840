// SPDX-License-Identifier: BSD-3-Clause
// Captured frames on their way from one worker to the control thread.
//
// Theory of operation. The worker writes, the control thread reads, and neither waits: the worker
// drops and counts what finds no room. A record is a head and the frame's first bytes, in one
// piece. Where the end of the memory is too near, a void record fills it. Sizes are multiples of a
// head, so there is always room for a void record. Records are seen by the reader when the worker
// publishes them, a burst at a time; until then it may change them or take them back.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/base/reasons.h"

namespace synproxy::dataplane {

// What happened to the frame. In a burst, frames leave in this order.
enum class CaptureKind : std::uint8_t {
  kCame,  // as it was received
  kLeft,  // the same packet, as it is sent on or sent back
  kMade,  // built by the proxy; has no verdict and no fate
  kVoid,  // not there
};

// The frame's bytes follow it.
struct CaptureRecord {
  std::uint32_t size = 0;      // bytes to the next record
  std::uint32_t length = 0;    // of the whole frame
  std::uint32_t captured = 0;  // of these, that are here
  CaptureKind kind = CaptureKind::kVoid;
  Role side = Role::kClient;  // where it came in, or leaves
  Verdict verdict = Verdict::kDrop;
  Reason fate = Reason::forwarded;
  std::uint64_t time = 0;  // time-stamp counter, as the worker writes it
  std::uint64_t worker = 0;
};
static_assert(sizeof(CaptureRecord) == 32);

// Reader and writer have cache lines of their own.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
class CaptureRing {
 public:
  static constexpr std::size_t kBytes = 2U << 20;

  // Throws std::bad_alloc. All of the memory is touched: the worker never waits for a page.
  explicit CaptureRing(std::size_t bytes = kBytes)
      : bytes_(bytes), memory_(new CaptureRecord[bytes / sizeof(CaptureRecord)]()) {}

  // --- The worker. nullptr: there is no room.
  CaptureRecord* add(const CaptureRecord& head, const std::uint8_t* frame) {
    const std::size_t unit = sizeof(CaptureRecord);
    const std::size_t size = unit + (head.captured + unit - 1) / unit * unit;
    std::size_t at = tail_ % bytes_;
    const std::size_t gap = bytes_ - at >= size ? 0 : bytes_ - at;
    if (tail_ + gap + size - head_.load(std::memory_order_acquire) > bytes_) return nullptr;
    if (gap != 0) {
      CaptureRecord filler;
      filler.size = static_cast<std::uint32_t>(gap);
      *record(at) = filler;
      tail_ += gap;
      at = 0;
    }
    CaptureRecord* const r = record(at);
    *r = head;
    r->size = static_cast<std::uint32_t>(size);
    std::memcpy(r + 1, frame, head.captured);
    tail_ += size;
    return r;
  }
  void publish() { published_.store(tail_, std::memory_order_release); }
  void roll_back() { tail_ = published_.load(std::memory_order_relaxed); }

  // --- The reader. All that is published, in one or two pieces; release() gives it back.
  struct Pieces {
    std::span<const CaptureRecord> first;
    std::span<const CaptureRecord> second;
  };
  [[nodiscard]] Pieces take() {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    taken_ = published_.load(std::memory_order_acquire);
    const std::size_t at = head % bytes_;
    const std::size_t there = taken_ - head;
    const std::size_t first = std::min(there, bytes_ - at);
    const std::size_t unit = sizeof(CaptureRecord);
    return {{record(at), first / unit}, {record(0), (there - first) / unit}};
  }
  void release() { head_.store(taken_, std::memory_order_release); }

 private:
  [[nodiscard]] CaptureRecord* record(std::size_t at) {
    return memory_.get() + at / sizeof(CaptureRecord);
  }

  const std::size_t bytes_;
  const std::unique_ptr<CaptureRecord[]> memory_;
  std::uint64_t taken_ = 0;                              // the reader's
  alignas(64) std::atomic<std::uint64_t> head_{0};       // bytes given back, in all
  alignas(64) std::atomic<std::uint64_t> published_{0};  // bytes to be read, in all
  std::uint64_t tail_ = 0;                               // bytes written, in all
};

}  // namespace synproxy::dataplane
