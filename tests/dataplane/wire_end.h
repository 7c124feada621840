// SPDX-License-Identifier: BSD-3-Clause
// The far end of a wire into the proxy. It sends and receives whole frames on a Linux interface,
// and puts back the tag that the kernel cuts out. It is independent of the proxy's own socket port.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace synproxy::tests {

using Frame = std::vector<std::uint8_t>;

class WireEnd {
 public:
  explicit WireEnd(const std::string& interface);  // throws std::system_error
  ~WireEnd();
  WireEnd(const WireEnd&) = delete;
  WireEnd& operator=(const WireEnd&) = delete;

  // False: the interface did not take it.
  bool send(std::span<const std::uint8_t> frame);
  // Sends like a kernel with checksum offload: the field at `start` + `offset` holds the sum of the
  // pseudo-header, and the card is asked to do the rest.
  bool send_unsummed(std::span<const std::uint8_t> frame, std::uint16_t start,
                     std::uint16_t offset);
  // Sends a super-frame of TCP: segments of `size` bytes, `start` as above.
  bool send_super(std::span<const std::uint8_t> frame, bool ipv6, std::uint16_t size,
                  std::uint16_t start);
  // The next frame; nothing if none has come for so long that none will.
  std::optional<Frame> receive();
  // True if no frame comes for a moment: for frames that must not arrive.
  bool stays_silent();

 private:
  bool write(int fd, std::span<const std::uint8_t> head, std::span<const std::uint8_t> frame) const;
  std::optional<Frame> receive_within(int milliseconds);

  int fd_ = -1;
  int offload_fd_ = -1;
};

}  // namespace synproxy::tests
