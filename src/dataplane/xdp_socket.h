// SPDX-License-Identifier: BSD-3-Clause
// The AF_XDP socket of one queue of an interface, with its rings.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/descriptor.h"
#include "dataplane/xdp_memory.h"

namespace synproxy::dataplane {

class XdpSocket {
 public:
  // A new one for that queue, bound. `copy`: of a program that the kernel runs above the driver;
  // otherwise frames are copied only where the driver cannot do without. Throws std::system_error:
  // EBUSY where another socket has the queue, or had it a moment ago.
  XdpSocket(int interface_index, const XdpMemory& memory, std::uint32_t queue, bool copy);
  // One that another process has made. Throws std::system_error.
  XdpSocket(Descriptor socket, const XdpMemory& memory, std::uint32_t queue);
  ~XdpSocket();
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  [[nodiscard]] XdpReceiver& receiver() { return *receiver_; }
  [[nodiscard]] XdpSender& sender() { return *sender_; }
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  // Another process could map its rings: Linux 6.4 and later.
  [[nodiscard]] bool can_change_hands() const;
  [[nodiscard]] bool zero_copy() const;
  // Frames for which the kernel had no room, since the socket was made.
  [[nodiscard]] std::uint64_t missed() const;

  // Tells the kernel that a burst of `frames` is there to be sent; never waits.
  void wake_sending(std::uint32_t frames) const;
  // Tells the driver that there are free frames.
  void wake_receiving() const;
  void clear_error() const;

 private:
  void set_up(const XdpMemory& memory, std::uint32_t queue);
  void map_rings(const XdpMemory& memory, std::uint32_t queue);
  template <typename Entry>
  [[nodiscard]] XdpRing<Entry> map_ring(std::uint64_t place, const xdp_ring_offset& at,
                                        std::uint32_t size);
  void unmap();

  Descriptor socket_;
  std::array<std::span<std::byte>, 4> maps_;
  std::size_t mapped_ = 0;
  std::optional<XdpReceiver> receiver_;
  std::optional<XdpSender> sender_;
};

}  // namespace synproxy::dataplane
