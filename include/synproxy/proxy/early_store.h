// SPDX-License-Identifier: BSD-3-Clause
// Early data: what clients send before the server has answered. It is kept in order until the
// splice.
//
// Theory of operation. A held segment is the whole frame as it came, copied out of its receive
// buffer into a chain of small buffers of one fixed pool, so that a slow server can never exhaust
// the port's own buffers. A flow in syn_sent names the first segment of its list
// (HandshakePart::early); segments are linked through their first buffer. At the splice every frame
// is put together again, translated like any other packet of the flow, and sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace synproxy {

class EarlyStore {
 public:
  using Handle = std::uint32_t;
  static constexpr Handle kNone = 0xffffffffU;
  static constexpr std::size_t kBufferBytes = 512;
  static constexpr unsigned kMaxSegments = 16;  // per flow

  // `memory`: bytes of all buffers together. A page is touched when it is first used. Throws
  // std::bad_alloc.
  explicit EarlyStore(std::uint64_t memory);

  // Appends a copy of `frame` to the list that begins with `head` and returns the head. kNone as
  // `head` begins a list. Returns kNone, and leaves the list as it was, if the list has
  // kMaxSegments or the pool has too few buffers.
  [[nodiscard]] Handle append(Handle head, std::span<const std::uint8_t> frame);
  // Copies the first frame into `out` and returns its length; `out` is at least as long as any
  // frame.
  [[nodiscard]] std::size_t read(Handle head, std::span<std::uint8_t> out) const;
  // Frees the first segment; returns the next or kNone.
  [[nodiscard]] Handle pop(Handle head);
  void free_all(Handle head);

  [[nodiscard]] std::uint32_t buffers_in_use() const { return in_use_; }

 private:
  struct Buffer {
    std::uint32_t next;     // buffer of the same segment, or in the free list
    std::uint32_t segment;  // first buffer of the next segment (first buffers only)
    std::uint32_t length;   // bytes of the frame (first buffers only)
  };
  [[nodiscard]] std::uint32_t take();
  void release_chain(Handle first);

  std::uint32_t capacity_;
  std::uint32_t fresh_ = 0;  // buffers at or above it were never used
  std::uint32_t free_ = kNone;
  std::uint32_t in_use_ = 0;
  std::unique_ptr<Buffer[]> buffers_;
  std::unique_ptr<std::uint8_t[]> bytes_;
};

}  // namespace synproxy
