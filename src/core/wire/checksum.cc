// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/checksum.h"

namespace synproxy::detail {

std::uint64_t add_long_to_sum(std::uint64_t sum, const std::uint8_t* data, std::size_t length) {
  // 32-bit words into a 64-bit accumulator: no carry can be lost, and the compiler makes it SIMD.
  std::uint64_t even = 0;
  std::uint64_t odd = 0;
  while (length >= 16) {
    even += load_raw<std::uint32_t>(data);
    odd += load_raw<std::uint32_t>(data + 4);
    even += load_raw<std::uint32_t>(data + 8);
    odd += load_raw<std::uint32_t>(data + 12);
    data += 16;
    length -= 16;
  }
  while (length >= 4) {
    even += load_raw<std::uint32_t>(data);
    data += 4;
    length -= 4;
  }
  std::uint32_t tail = 0;
  if (length != 0) std::memcpy(&tail, data, length);
  // The caller's sum may be near 2^64 already, so its halves are added separately.
  return (sum & 0xffffffffU) + (sum >> 32) + even + odd + tail;
}

}  // namespace synproxy::detail
