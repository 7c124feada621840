// SPDX-License-Identifier: BSD-3-Clause
// A packet socket that receives through a ring shared with the kernel (PACKET_RX_RING, TPACKET_V2).
//
// Theory of operation. The kernel writes each frame into the next slot of the ring and sets the
// slot's status. The reader takes slots in the same order, and gives each back by clearing its
// status. Frames need no system calls. V2 and not V3, because V3 hands over whole blocks, when they
// are full or a timer runs out, which costs latency. Beside the frame, a slot carries:
//   - the outermost VLAN tag, which the kernel cuts out of every received frame, with its TPID;
//   - a virtio_net_hdr that says where a checksum belongs that the sender left to its network card.
// One thread reads; bind() may be called by another at any time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synproxy::dataplane {

struct RingFrame {
  const std::uint8_t* data = nullptr;  // Ethernet header first, without the cut-out tag
  std::uint32_t captured = 0;          // bytes at `data`
  std::uint32_t length = 0;            // bytes of the frame; if more than captured, it did not fit
  bool tagged = false;
  std::uint16_t tpid = 0;
  std::uint16_t tci = 0;
  bool checksum_missing = false;      // the field then holds the pseudo-header's sum
  std::uint16_t checksum_start = 0;   // from `data`: first byte that is summed
  std::uint16_t checksum_offset = 0;  // from checksum_start: where the sum belongs
};

class PacketRing {
 public:
  // Room for frames of `max_frame` bytes. Throws std::system_error whose text names the call.
  explicit PacketRing(std::uint32_t max_frame);
  ~PacketRing();
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  // Binds to an interface and makes it promiscuous; again after the interface was replaced. Returns
  // errno on failure.
  [[nodiscard]] int bind(int interface_index);

  [[nodiscard]] int descriptor() const { return fd_; }
  // The oldest frame not yet released; false: nothing has arrived.
  [[nodiscard]] bool front(RingFrame& out) const;
  void release();

  // Frames that have found no free slot since the last call.
  [[nodiscard]] std::uint64_t take_drops() const;
  void clear_error() const;  // so that poll() stops reporting an interface that went down

 private:
  [[nodiscard]] std::uint8_t* slot() const;

  int fd_ = -1;
  std::uint8_t* map_ = nullptr;
  std::size_t map_bytes_ = 0;
  std::uint32_t slot_bytes_ = 0;
  std::uint32_t slots_per_block_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t next_ = 0;
};

}  // namespace synproxy::dataplane
