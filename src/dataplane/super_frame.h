// SPDX-License-Identifier: BSD-3-Clause
// Super-frames: frames of up to 64 KB that stand for many segments, as Linux interfaces hand them
// over and take them (virtio's header before each frame says how to cut it).
//
// Super-frames, and nothing else, lie in buffers of a pool of their own, which have no headroom;
// how to cut a frame stands in its buffer's private area.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace synproxy::dataplane {

// The legacy virtio_net_hdr, in host order. linux/virtio_net.h is not valid C++: it has a member
// named `class`.
struct OffloadHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_length = 0;    // bytes before the payload
  std::uint16_t gso_size = 0;         // payload bytes of each segment
  std::uint16_t checksum_start = 0;   // from the frame's start: first byte that is summed
  std::uint16_t checksum_offset = 0;  // from checksum_start: where the sum belongs
};
static_assert(sizeof(OffloadHeader) == 10);

inline constexpr std::uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
enum GsoType : std::uint8_t { kGsoNone = 0, kGsoTcpv4 = 1, kGsoTcpv6 = 4, kGsoUdp = 5 };
inline constexpr std::uint8_t kGsoEcn = 0x80;  // beside a type: the first segment carries CWR

// Linux lets no TCP segment be shorter.
inline constexpr std::uint16_t kLeastSegment = 8;

inline constexpr std::uint32_t kSuperFrameBytes = 0xffff;  // all that mbufs can say of a length

// What a pool for them needs.
inline constexpr std::uint32_t kSuperFrames = 256;
inline constexpr std::uint16_t kSuperFramePrivate = 16;
static_assert(sizeof(OffloadHeader) <= kSuperFramePrivate &&
              kSuperFramePrivate % RTE_MBUF_PRIV_ALIGN == 0);

// A header that came with `frame`, completed: false if it does not fit the frame. The fields that
// it states are all checked against the frame's bytes, so that cut_frame() may trust them.
[[nodiscard]] bool sound_header(OffloadHeader& header, std::span<const std::uint8_t> frame);

// Bytes of the longest packet that the frame stands for, from its IP header on. No link with a
// smaller MTU can carry it.
[[nodiscard]] std::uint32_t longest_packet(std::span<const std::uint8_t> frame,
                                           const OffloadHeader& header);

// nullptr: `m` is no super-frame.
[[nodiscard]] inline OffloadHeader* offload_of(rte_mbuf& m) {
  if (rte_pktmbuf_priv_size(m.pool) != kSuperFramePrivate) [[likely]]
    return nullptr;
  auto* header = static_cast<OffloadHeader*>(rte_mbuf_to_priv(&m));
  return header->gso_type == kGsoNone ? nullptr : header;
}
// From here on the frame is one of its own: its header has been written anew, sums included.
inline void no_super_frame(OffloadHeader& header) { header = {}; }

// An empty buffer whose whole room is for the frame; nullptr: none is free.
[[nodiscard]] inline rte_mbuf* super_buffer(rte_mempool* pool) {
  rte_mbuf* m = rte_pktmbuf_alloc(pool);
  if (m == nullptr) return nullptr;
  m->data_off = 0;
  *static_cast<OffloadHeader*>(rte_mbuf_to_priv(m)) = {};
  return m;
}

// Cuts a super-frame into frames of `segments` segments each, the last one with the rest.
class FrameCutter {
 public:
  // `header` is sound for `frame`. Both outlive the cutter.
  FrameCutter(std::span<const std::uint8_t> frame, const OffloadHeader& header,
              std::uint32_t segments = 1);

  [[nodiscard]] bool done() const { return at_ >= frame_.size(); }
  [[nodiscard]] std::uint32_t next_size() const;  // bytes of the next frame

  // Writes the next frame, of next_size() bytes, as a segment with finished sums.
  void write_segment(std::uint8_t* to);
  // Writes the next frame as a smaller super-frame, and its header.
  void write_super_frame(std::uint8_t* to, OffloadHeader& header);

 private:
  std::uint32_t write(std::uint8_t* to);  // returns next_size() of before

  const std::span<const std::uint8_t> frame_;
  const OffloadHeader& header_;
  const std::uint32_t payload_;  // bytes of a frame's payload
  const std::uint32_t network_;  // offset of the IP header
  const bool ipv6_;
  std::size_t at_;  // first payload byte of the next frame
};

}  // namespace synproxy::dataplane
