// SPDX-License-Identifier: BSD-3-Clause
// Integers as they stand on the wire: big-endian, unaligned, never confused with host order.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace synproxy {

namespace detail {
template <typename T>
constexpr T swap_to_network(T v) {
  static_assert(std::endian::native == std::endian::little ||
                std::endian::native == std::endian::big);
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) {
    return v;
  } else if constexpr (sizeof(T) == 2) {
    return static_cast<T>(__builtin_bswap16(v));
  } else if constexpr (sizeof(T) == 4) {
    return static_cast<T>(__builtin_bswap32(v));
  } else {
    return static_cast<T>(__builtin_bswap64(v));
  }
}
}  // namespace detail

// A big-endian integer in memory. Only host() and the explicit constructor convert between the two
// orders.
template <typename T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr explicit BigEndian(T host_value) : raw_(detail::swap_to_network(host_value)) {}
  [[nodiscard]] constexpr T host() const { return detail::swap_to_network(raw_); }
  [[nodiscard]] constexpr T raw() const { return raw_; }  // network order bits, for checksums
  static constexpr BigEndian from_raw(T raw) {
    BigEndian b;
    b.raw_ = raw;
    return b;
  }
  friend constexpr bool operator==(BigEndian, BigEndian) = default;

 private:
  T raw_ = 0;
};

using be16 = BigEndian<std::uint16_t>;
using be32 = BigEndian<std::uint32_t>;
static_assert(sizeof(be16) == 2 && sizeof(be32) == 4);

// Unaligned loads and stores in host order of a big-endian field. The caller has checked the
// bounds.
template <typename T>
[[nodiscard]] inline T load_be(const std::uint8_t* p) {
  T raw;
  std::memcpy(&raw, p, sizeof raw);
  return detail::swap_to_network(raw);
}
template <typename T>
inline void store_be(std::uint8_t* p, T host_value) {
  const T raw = detail::swap_to_network(host_value);
  std::memcpy(p, &raw, sizeof raw);
}
// Loads without changing the byte order: for hashing and checksums, where any fixed order will do.
template <typename T>
[[nodiscard]] inline T load_raw(const std::uint8_t* p) {
  T raw;
  std::memcpy(&raw, p, sizeof raw);
  return raw;
}

}  // namespace synproxy
