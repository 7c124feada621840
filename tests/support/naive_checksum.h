// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum as RFC 1071 describes it, byte by byte: slow, and unlike the code that it
// checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace synproxy::test {

// Sum of big-endian words, in host order, end-around carry after every single addition.
class NaiveSum {
 public:
  NaiveSum& add16(std::uint32_t word) {
    sum_ += word & 0xffffU;
    if (sum_ > 0xffffU) sum_ -= 0xffffU;
    return *this;
  }
  NaiveSum& add32(std::uint32_t v) { return add16(v >> 16).add16(v); }
  NaiveSum& add(std::span<const std::uint8_t> bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
      const std::uint32_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0U;
      add16(std::uint32_t{bytes[i]} << 8 | low);
    }
    return *this;
  }
  [[nodiscard]] std::uint16_t sum() const { return static_cast<std::uint16_t>(sum_); }
  // The value for the field, in host order.
  [[nodiscard]] std::uint16_t checksum() const { return static_cast<std::uint16_t>(~sum_); }

 private:
  std::uint32_t sum_ = 0;
};

// `addresses`: 8 or 32 bytes, source and destination.
[[nodiscard]] inline NaiveSum naive_pseudo_header(std::span<const std::uint8_t> addresses,
                                                  std::uint8_t protocol, std::size_t length) {
  NaiveSum s;
  s.add(addresses).add16(protocol).add32(static_cast<std::uint32_t>(length));
  return s;
}

}  // namespace synproxy::test
