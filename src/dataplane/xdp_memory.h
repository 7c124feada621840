// SPDX-License-Identifier: BSD-3-Clause
// The memory of an AF_XDP port: a file without a name that two processes can map, with a page that
// says what is in it, then the chunks of each queue.
//
// Only the process that has its lock touches the rings and the chunks. The lock (fcntl(2)) ends
// with its process, however that ends. It also ends with the first descriptor of this file that the
// process closes, so there is only one descriptor.
#pragma once

#include <cstdint>

#include "base/descriptor.h"
#include "dataplane/xdp_frames.h"

namespace synproxy::dataplane {

struct XdpShape {
  std::int32_t interface_index = 0;
  std::uint32_t queues = 0;
  std::uint32_t send_queues = 0;  // the first ones; the interface sends by no more
  std::uint32_t chunk_bytes = 0;
  std::uint32_t receive_frames = 0;  // of each queue, and the size of its rings
  std::uint32_t send_frames = 0;
};

class XdpMemory {
 public:
  explicit XdpMemory(const XdpShape& shape);  // new. Throws std::system_error
  // That of another process. Throws std::system_error if it is none.
  explicit XdpMemory(Descriptor file);
  ~XdpMemory();
  XdpMemory(const XdpMemory&) = delete;
  XdpMemory& operator=(const XdpMemory&) = delete;

  [[nodiscard]] const XdpShape& shape() const { return shape_; }
  [[nodiscard]] XdpChunks chunks(std::uint32_t queue) const;
  [[nodiscard]] int descriptor() const { return file_.get(); }

  [[nodiscard]] bool lock() const;  // false: another process has it
  void unlock() const;

 private:
  void map();

  Descriptor file_;
  XdpShape shape_;
  std::span<std::uint8_t> map_;
};

}  // namespace synproxy::dataplane
