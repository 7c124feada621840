// SPDX-License-Identifier: BSD-3-Clause
// Who has which frame of an AF_XDP socket's memory.
//
// Theory of operation. Each ring has as many entries as there are frames that can be in it, and the
// rings are the only book that is kept:
//
//   receiving  fill ring -> kernel -> receive ring. A frame that is read goes from the receive ring
//              into the fill ring at once. At first all are in the fill ring.
//   sending    completion ring -> transmit ring -> kernel. The completion ring is the list of free
//              frames, and begins full: its consumer begins a ring behind its producer.
//
// So of our two indexes on either way, one is always a ring ahead of the other:
//
//   fill producer = receive consumer + size        transmit producer = completion consumer + size
//
// A process that goes on with these rings takes the producer as it is and derives the consumer. The
// kernel has overwritten nothing that this brings back, because it has got no more frames than the
// producer says. Hence no frame is lost or in two places, at whatever instruction the last process
// stopped or was killed.
//
// Frames lie in chunks; an address counts bytes from the first chunk for receiving. What the kernel
// writes is bounded: a wrong one gets other bytes sent or dropped, and nothing outside is touched.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/xdp_ring.h"

namespace synproxy::dataplane {

// Of one queue: first those for receiving, then those for sending.
struct XdpChunks {
  std::span<std::uint8_t> memory;
  std::uint32_t bytes = 0;  // of one, a power of two
};

// One thread at a time uses each of the two: not the same one.
class alignas(64) XdpReceiver {
 public:
  // Both rings have one size; so many chunks are the receiver's. Throws std::system_error if the
  // memory is less.
  XdpReceiver(const XdpRing<xdp_desc>& received, const XdpRing<std::uint64_t>& fill,
              const XdpChunks& chunks);

  void begin();  // a new socket, not yet bound
  void go_on();  // with what another process has left

  [[nodiscard]] std::uint32_t waiting() const { return received_.waiting(next_); }
  // The frame number `i` of those that wait; empty: the kernel says something impossible.
  [[nodiscard]] std::span<const std::uint8_t> frame(std::uint32_t i) const;
  void release(std::uint32_t frames);  // the first ones of those that wait
  // The driver has run out of free frames, and has to be told that there are some.
  [[nodiscard]] bool needs_wakeup() const { return fill_.needs_wakeup(); }

 private:
  XdpRing<xdp_desc> received_;
  XdpRing<std::uint64_t> fill_;
  XdpChunks chunks_;
  std::uint32_t next_ = 0;  // consumer of received_
};

class alignas(64) XdpSender {
 public:
  // As above; `first`: the number of its first chunk.
  XdpSender(const XdpRing<xdp_desc>& transmit, const XdpRing<std::uint64_t>& completed,
            const XdpChunks& chunks, std::uint32_t first);

  void begin();
  void go_on();

  [[nodiscard]] std::uint32_t room() const { return completed_.waiting(next_ - size()); }
  // A free chunk for the frame number `i` of those that are sent next; `i` below room().
  [[nodiscard]] std::span<std::uint8_t> chunk(std::uint32_t i) const;
  // So long is the frame there.
  void put(std::uint32_t i, std::uint32_t length) const;
  void send(std::uint32_t frames);  // the first ones that were put
  [[nodiscard]] bool needs_wakeup() const { return transmit_.needs_wakeup(); }

 private:
  [[nodiscard]] std::uint32_t size() const { return transmit_.size(); }
  [[nodiscard]] std::uint64_t address(std::uint32_t i) const;

  XdpRing<xdp_desc> transmit_;
  XdpRing<std::uint64_t> completed_;
  XdpChunks chunks_;
  std::uint32_t first_;
  std::uint32_t next_ = 0;  // producer of transmit_
};

}  // namespace synproxy::dataplane
