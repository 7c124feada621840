// SPDX-License-Identifier: BSD-3-Clause
// A packet socket that receives through a ring shared with the kernel (PACKET_RX_RING, TPACKET_V2).
//
// Theory of operation. The kernel writes each frame into the next slot of the ring and sets the
// slot's status. The reader takes slots in the same order, and gives each back by clearing its
// status. Frames need no system calls. V2 and not V3, because V3 hands over whole blocks, when they
// are full or a timer runs out, which costs latency. Beside the frame, a slot carries:
//   - the outermost VLAN tag, which the kernel cuts out of every received frame, with its TPID;
//   - a virtio_net_hdr that says where a checksum belongs that the sender left to its network card,
//     and how a super-frame is to be cut.
// A frame that is longer than a slot waits whole on the socket (PACKET_COPY_THRESH), with all that
// belongs to it, and only its place in the order is in the ring.
// One thread reads; bind() may be called by another at any time.
#pragma once

#include <linux/filter.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/super_frame.h"

namespace synproxy::dataplane {

struct RingFrame {
  const std::uint8_t* data = nullptr;  // Ethernet header first, without the cut-out tag
  std::uint32_t captured = 0;          // bytes at `data`
  std::uint32_t length = 0;            // bytes of the frame; if more than captured, it did not fit
  bool tagged = false;
  std::uint16_t tpid = 0;
  std::uint16_t tci = 0;
  bool apart = false;     // the whole frame waits on the socket: receive_apart()
  OffloadHeader offload;  // offsets count from `data`
};

class PacketRing {
 public:
  // A reader that loses its CPU for 10 ms at 200,000 packets a second finds 2,000 frames.
  static constexpr std::uint32_t kUsualSlots = 4096;
  // Room for frames of `max_frame` bytes; long ones get fewer slots. Throws std::system_error whose
  // text names the call.
  explicit PacketRing(std::uint32_t max_frame, std::uint32_t slots = kUsualSlots);
  ~PacketRing();
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  // Binds to an interface and makes it promiscuous; again after the interface was replaced. Returns
  // errno on failure.
  [[nodiscard]] int bind(int interface_index);

  // Receives only what the filter takes, from now on. Returns errno on failure: the filter is as it
  // was.
  [[nodiscard]] int filter(std::span<const sock_filter> program) const;

  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] std::uint32_t slots() const { return slots_; }
  // More than `frames` frames wait; fewer than slots().
  [[nodiscard]] bool holds_more_than(std::uint32_t frames) const;
  // The oldest frame not yet released; false: nothing has arrived.
  [[nodiscard]] bool front(RingFrame& out) const;
  void release();

  // Where a frame that waits apart goes to: into `room`, and what does not fit into `more`. The
  // outermost tag, if it has one, is in neither.
  struct Apart {
    std::span<std::uint8_t> room;
    std::span<std::uint8_t> more;
    std::uint32_t length = 0;  // of the whole frame; more than both: the rest is lost
    bool tagged = false;
    std::uint16_t tpid = 0;
    std::uint16_t tci = 0;
    OffloadHeader offload;
  };
  static constexpr std::size_t kMostApart = 32;
  // Takes the oldest of the frames that wait apart, at most kMostApart, in one call. Returns how
  // many came: fewer if the kernel has no sound header for one.
  [[nodiscard]] std::size_t receive_apart(std::span<Apart> out);

  // Frames that have ever found no free slot. Any thread may ask.
  [[nodiscard]] std::uint64_t drops() const;
  void clear_error() const;  // so that poll() stops reporting an interface that went down

 private:
  [[nodiscard]] std::uint8_t* slot(std::uint32_t number) const;

  int fd_ = -1;
  std::uint8_t* map_ = nullptr;
  std::size_t map_bytes_ = 0;
  std::uint32_t slot_bytes_ = 0;
  std::uint32_t slots_per_block_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t next_ = 0;
  mutable std::atomic<std::uint64_t> drops_{0};
};

}  // namespace synproxy::dataplane
