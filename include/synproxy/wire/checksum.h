// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// Sums are taken over 16-bit words as they lie in memory. Byte order does not matter to a ones'
// complement sum, as long as all words have the same one. Bytes are swapped only for fields that
// start at an odd offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/headers.h"

namespace synproxy {

// Folds a sum of up to 2^64 - 1 into 16 bits.
[[nodiscard]] constexpr std::uint16_t fold_sum(std::uint64_t sum) {
  const auto high = static_cast<std::uint32_t>(sum >> 32);
  std::uint32_t half = static_cast<std::uint32_t>(sum) + high;
  half += half < high ? 1U : 0U;
  // The carry out of the low half goes into the high half, and the high half is kept.
  return static_cast<std::uint16_t>(~((~half - (half << 16 | half >> 16)) >> 16));
}

// Adds one word; the carry out of the top comes in at the bottom. For many words use WordSum.
[[nodiscard]] constexpr std::uint64_t add_word(std::uint64_t sum, std::uint64_t raw) {
  sum += raw;
  return sum + (sum < raw ? 1U : 0U);
}

// Sums many words. The halves of each word are added up separately, so no carry is lost and none
// has to be handled.
class WordSum {
 public:
  constexpr explicit WordSum(std::uint64_t start) : sum_(start & 0xffffffffU), high_(start >> 32) {}
  constexpr void add(std::uint64_t raw) {
    sum_ += raw & 0xffffffffU;
    high_ += raw >> 32;
  }
  // As a 64-bit sum, in the form that add_to_sum() takes and returns.
  [[nodiscard]] constexpr std::uint64_t value() const { return sum_ + high_; }

 private:
  std::uint64_t sum_;
  std::uint64_t high_;
};

namespace detail {
[[nodiscard]] std::uint64_t add_long_to_sum(std::uint64_t sum, const std::uint8_t* data,
                                            std::size_t length);
}

// Adds `length` bytes to `sum`. An odd last byte counts as if a zero followed. The total must stay
// below 2^32 words; every frame does.
[[nodiscard]] inline std::uint64_t add_to_sum(std::uint64_t sum, const std::uint8_t* data,
                                              std::size_t length) {
  if (length > 128) return detail::add_long_to_sum(sum, data, length);
  WordSum words(sum);
  for (; length >= 8; length -= 8, data += 8) words.add(load_raw<std::uint64_t>(data));
  if ((length & 4) != 0) {
    words.add(load_raw<std::uint32_t>(data));
    data += 4;
  }
  if ((length & 2) != 0) {
    words.add(load_raw<std::uint16_t>(data));
    data += 2;
  }
  if ((length & 1) != 0) words.add(be16(static_cast<std::uint16_t>(*data << 8)).raw());
  return words.value();
}

// The value for a checksum field. `sum`: of the packet, with that field as zero.
[[nodiscard]] constexpr std::uint16_t finish_sum(std::uint64_t sum) {
  return static_cast<std::uint16_t>(~fold_sum(sum));
}

// Writes the checksum of an IPv4 header of `size` bytes, options included.
inline void store_ipv4_checksum(std::uint8_t* ip, std::size_t size) {
  std::memset(ip + ipv4_at::kChecksum, 0, sizeof(std::uint16_t));
  const std::uint16_t sum = finish_sum(add_to_sum(0, ip, size));
  std::memcpy(ip + ipv4_at::kChecksum, &sum, sizeof sum);
}

// The pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1: both addresses (4 + 4 or 16 +
// 16 bytes, adjacent in the IP header), the protocol, and the length of the TCP or ICMPv6 part in
// bytes.
[[nodiscard]] inline std::uint64_t pseudo_header_sum(const std::uint8_t* addresses, bool ipv6,
                                                     std::uint8_t protocol, std::uint32_t length) {
  WordSum sum(std::uint64_t{be32(length).raw()} + be16(protocol).raw());
  for (std::size_t i = 0; i < (ipv6 ? 32U : 8U); i += 8) {
    sum.add(load_raw<std::uint64_t>(addresses + i));
  }
  return sum.value();
}

// Collects the changes made to a packet and applies them to a checksum field by RFC 1624 equation
// 3: HC' = ~(~HC + ~m + m'). A packet that was corrupt before stays visibly corrupt.
class ChecksumUpdate {
 public:
  // Both values have the same byte order. `odd`: the field starts at an odd offset of the
  // checksummed data.
  constexpr void replace16(std::uint16_t old_raw, std::uint16_t new_raw) {
    sum_ += static_cast<std::uint16_t>(~old_raw);
    sum_ += new_raw;
  }
  constexpr void replace32(std::uint32_t old_raw, std::uint32_t new_raw, bool odd = false) {
    std::uint64_t change = static_cast<std::uint32_t>(~old_raw);
    change += new_raw;
    // RFC 1071 section 2(B): for data shifted by one byte, the sum has its bytes swapped.
    if (odd) change = __builtin_bswap16(fold_sum(change));
    sum_ += change;
  }
  constexpr void add(const ChecksumUpdate& other) { sum_ += fold_sum(other.sum_); }
  [[nodiscard]] constexpr std::uint16_t applied_to(std::uint16_t checksum_raw) const {
    return static_cast<std::uint16_t>(~fold_sum(sum_ + static_cast<std::uint16_t>(~checksum_raw)));
  }
  void apply(std::uint8_t* checksum_field) const {
    const std::uint16_t updated = applied_to(load_raw<std::uint16_t>(checksum_field));
    std::memcpy(checksum_field, &updated, sizeof updated);
  }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace synproxy
