// SPDX-License-Identifier: BSD-3-Clause
// SYNs by the million: one is written in full, of every other only the fields that differ.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "segment.h"

namespace synproxy::generator {

class SynStamp {
 public:
  SynStamp(bool ipv6, const Offer& offer);

  // What a buffer has to hold before its first stamp(). A frame of the one before will do as well.
  [[nodiscard]] std::span<const std::uint8_t> blank() const { return {frame_.data(), length_}; }
  // Makes it the SYN of `client` with these numbers.
  void stamp(std::uint8_t* frame, const Tuple& client, const Numbers& numbers) const;

 private:
  std::array<std::uint8_t, kMaxHeaders> frame_{};
  std::uint16_t length_ = 0;
  bool ipv6_;
  bool timestamps_;
  std::uint64_t ip_sum_ = 0;   // of the header without what differs
  std::uint64_t tcp_sum_ = 0;  // the same, pseudo header included
};

}  // namespace synproxy::generator
