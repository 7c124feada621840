// SPDX-License-Identifier: BSD-3-Clause
// Makes SYNs by the million: it writes the first one in full, and of the others only the fields
// that differ.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "segment.h"

namespace synproxy::generator {

class SynStamp {
 public:
  SynStamp(bool ipv6, const Offer& offer);

  // What a buffer must hold before its first stamp(). An earlier stamped frame will do too.
  [[nodiscard]] std::span<const std::uint8_t> blank() const { return {frame_.data(), length_}; }
  // Turns the frame into the SYN of `client` with these numbers.
  void stamp(std::uint8_t* frame, const Tuple& client, const Numbers& numbers) const;

 private:
  std::array<std::uint8_t, kMaxHeaders> frame_{};
  std::uint16_t length_ = 0;
  bool ipv6_;
  bool timestamps_;
  std::uint64_t ip_sum_ = 0;   // of the header without the fields that differ
  std::uint64_t tcp_sum_ = 0;  // the same, pseudo header included
};

}  // namespace synproxy::generator
