// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words, and four bytes behind them or
// none: one message, or a burst of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/base/vectors.h"

namespace synproxy {

// One message of a burst. A word is the little-endian load of eight message bytes.
struct MacInput {
  std::array<std::uint64_t, 5> words;
  std::uint32_t count;  // words in use: 2 for IPv4, 5 for IPv6
  std::uint32_t tail;   // the four bytes behind them; 0: the message ends before
};

// SipHash-2-4 of 8 * count bytes, and the four of `tail` if that is not 0, under the key whose
// little-endian halves are k0 and k1. The result is the little-endian load of the eight bytes that
// the reference implementation writes.
[[nodiscard]] std::uint64_t siphash24(std::uint64_t k0, std::uint64_t k1,
                                      const std::uint64_t* words, std::size_t count,
                                      std::uint32_t tail = 0);
[[nodiscard]] inline std::uint64_t siphash24(std::uint64_t k0, std::uint64_t k1,
                                             const MacInput& in) {
  return siphash24(k0, k1, in.words.data(), in.count, in.tail);
}

// out[i] = siphash24(k0s[i], k1s[i], in[i]) for i < n. Lanes may differ in key, in count (0 to 5)
// and in tail. By the fastest kernel that this CPU can run.
void siphash24_burst(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                     std::uint64_t* out, std::size_t n);

// The kernels that this CPU can run, slowest first. The results are the same.
struct SipHashKernel {
  const char* name;
  void (*run)(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
              std::uint64_t* out, std::size_t n);
};
[[nodiscard]] std::span<const SipHashKernel> siphash24_kernels();
// `v`: at most cpu_vectors().
[[nodiscard]] const SipHashKernel& siphash24_kernel(Vectors v);

}  // namespace synproxy
