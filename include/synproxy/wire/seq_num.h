// SPDX-License-Identifier: BSD-3-Clause
// A TCP sequence number (RFC 9293 section 3.4): 32 bits, arithmetic modulo 2^32, and no total
// order.
#pragma once

#include <cstdint>

#include "synproxy/wire/seq_order.h"

namespace synproxy {

class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

  friend constexpr bool operator==(SeqNum, SeqNum) = default;
  friend constexpr SeqNum operator+(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ + n); }
  friend constexpr SeqNum operator-(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ - n); }
  // How far `a` is ahead of `b`, modulo 2^32.
  friend constexpr std::uint32_t operator-(SeqNum a, SeqNum b) { return a.value_ - b.value_; }
  [[nodiscard]] constexpr bool before(SeqNum b) const { return seq_before(value_, b.value_); }
  [[nodiscard]] constexpr bool after(SeqNum b) const { return seq_after(value_, b.value_); }
  // low <= *this <= high, walking upwards from low.
  [[nodiscard]] constexpr bool within(SeqNum low, SeqNum high) const {
    return seq_within(value_, low.value_, high.value_);
  }

 private:
  std::uint32_t value_ = 0;
};
static_assert(sizeof(SeqNum) == 4);

}  // namespace synproxy
