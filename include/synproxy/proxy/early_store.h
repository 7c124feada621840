// SPDX-License-Identifier: BSD-3-Clause
// Early data: what clients send before the server has answered. It is kept in order until the
// splice.
//
// Theory of operation. A held segment is the whole frame as it came, copied out of its receive
// buffer into small buffers of one fixed pool, so that a slow server can never exhaust the port's
// own buffers. The segments of a flow make one list: they stand one behind the other, each after
// its length, in a chain of buffers. So sixteen segments of one byte take three buffers, not
// sixteen. A flow in syn_sent names the first buffer of its list (HandshakePart::early). At the
// splice every frame is put together again, translated like any other packet of the flow, and sent.
//
// The memory is shared. Each list belongs to a share, a keyed hash of its service. If the pool is
// full, the share that holds most gives up its oldest list, so that a silent address cannot take
// what requests to other servers need. Within a share a list stays, unless its server has let our
// first SYN go unanswered. Nothing that gives way was acknowledged: its client sends it again.
#pragma once

#include <array>
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
  static constexpr unsigned kMaxSegments = 16;  // per list
  static constexpr std::size_t kShares = 256;
  // A list that has waited so long gives way within its share.
  static constexpr std::uint32_t kPatienceMs = 200;

  // Whose list is begun.
  struct Owner {
    std::uint32_t flow;
    std::uint32_t share;  // < kShares
    std::uint32_t now_ms;
  };

  // `memory`: bytes of all buffers together. A page is touched when it is first used. Throws
  // std::bad_alloc.
  explicit EarlyStore(std::uint64_t memory);

  // Whether the list that begins with `head`, or a new one (kNone), may ever hold so many bytes
  // more.
  [[nodiscard]] bool may_hold(Handle head, std::size_t bytes) const;
  // Whether there is room for them now. If not, pick_victim() says which list to free().
  [[nodiscard]] bool has_room(Handle head, std::size_t bytes) const {
    return buffers_for(head, bytes) <= capacity_ - in_use_;
  }
  // kNone: nobody gives way. `owner`: of the list that begins with `head`, or is to begin.
  [[nodiscard]] Handle pick_victim(Handle head, std::size_t bytes, const Owner& owner) const;
  [[nodiscard]] std::uint32_t flow_of(Handle head) const { return buffers_[head].flow; }
  [[nodiscard]] std::uint32_t share_of(Handle head) const { return buffers_[head].share; }

  // Appends a copy of `frame` to the list and returns its head. may_hold() and has_room() have said
  // yes.
  [[nodiscard]] Handle append(Handle head, std::span<const std::uint8_t> frame, const Owner& owner);
  // Puts each frame together in `scratch`, which is as long as any frame, and hands it to
  // use(frame), in order, until use() returns false.
  template <typename Use>
  void each(Handle head, std::span<std::uint8_t> scratch, Use&& use) const {
    if (head == kNone) return;
    Place place{head, 0};
    for (unsigned n = buffers_[head].segments; n > 0; --n) {
      std::uint32_t length = 0;
      read(place, {reinterpret_cast<std::uint8_t*>(&length), sizeof length});
      if (length > scratch.size()) return;
      const auto frame = scratch.first(length);
      read(place, frame);
      if (!use(frame)) return;
    }
  }
  void free(Handle head);

  [[nodiscard]] std::uint32_t buffers_in_use() const { return in_use_; }

 private:
  struct Buffer {
    std::uint32_t next;  // of the same list, or in the free list
    // Of the first buffer of a list only.
    std::uint32_t last;   // its last buffer
    std::uint32_t bytes;  // held, lengths included
    std::uint32_t older;  // lists of the same share
    std::uint32_t newer;
    std::uint32_t flow;
    std::uint32_t since_ms;
    std::uint16_t share;
    std::uint16_t segments;
  };
  struct Share {
    std::uint32_t oldest = kNone;
    std::uint32_t newest = kNone;
    std::uint32_t buffers = 0;
  };
  struct Place {
    std::uint32_t buffer;
    std::size_t at;
  };
  [[nodiscard]] static std::uint32_t buffers_of(std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + kBufferBytes - 1) / kBufferBytes);
  }
  // How many buffers more the list takes.
  [[nodiscard]] std::uint32_t buffers_for(Handle head, std::size_t bytes) const;
  [[nodiscard]] std::uint32_t take();
  [[nodiscard]] Handle begin(const Owner& owner);
  void write(Handle head, std::span<const std::uint8_t> data);
  void read(Place& place, std::span<std::uint8_t> out) const;

  std::uint32_t capacity_;
  std::uint32_t fresh_ = 0;  // buffers at or above it were never used
  std::uint32_t free_ = kNone;
  std::uint32_t in_use_ = 0;
  std::array<Share, kShares> shares_;
  std::unique_ptr<Buffer[]> buffers_;
  std::unique_ptr<std::uint8_t[]> bytes_;
};

}  // namespace synproxy
