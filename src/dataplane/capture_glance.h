// SPDX-License-Identifier: BSD-3-Clause
// A glance at the addresses of a frame, which tells nearly all that a capture is not about from
// those that it may be about. Every packet of a worker pays for it while a capture runs.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/capture_filter.h"
#include "synproxy/base/packet.h"

namespace synproxy::dataplane {

class CaptureGlance {
 public:
  explicit CaptureGlance(const CaptureFilter& filter);

  // Bit i: the i-th packet may match. Of the others filter.matches() says no.
  [[nodiscard]] std::uint32_t may_match(Role sender, std::span<const Packet> burst) const;

 private:
  // Of the two addresses side by side, or of 8 bytes of each, the bits that all rules agree on. Two
  // ways, because the ends may have been typed in either order.
  struct Words {
    std::array<std::uint64_t, 2> mask{};
    std::array<std::uint64_t, 2> value{};
    [[nodiscard]] bool refuses(std::uint64_t word) const {
      return (word & mask[0]) != value[0] && (word & mask[1]) != value[1];
    }
  };
  struct Sender {
    Words ipv4;
    std::array<Words, 4> ipv6{};  // source and destination, a half each
  };

  template <bool kTwoWays>
  [[nodiscard]] static std::uint32_t look(const Sender& of, std::span<const Packet> burst);
  [[nodiscard]] static bool refuses_other(const Sender& of, const Packet& p);

  std::array<Sender, 2> of_;
  bool two_ways_;
};

}  // namespace synproxy::dataplane
