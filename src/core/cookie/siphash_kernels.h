// SPDX-License-Identifier: BSD-3-Clause
// The burst kernels of SipHash-2-4 and what they share. The vector ones exist on x86-64 only and
// may be called only where the CPU has the extension of their name.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "synproxy/cookie/siphash.h"

namespace synproxy::detail {

// The constants of the initial state: "somepseudorandomlygeneratedbytes" in the paper.
inline constexpr std::uint64_t kSipInit0 = 0x736f6d6570736575ULL;
inline constexpr std::uint64_t kSipInit1 = 0x646f72616e646f6dULL;
inline constexpr std::uint64_t kSipInit2 = 0x6c7967656e657261ULL;
inline constexpr std::uint64_t kSipInit3 = 0x7465646279746573ULL;
inline constexpr std::uint64_t kSipFinish = 0xff;

// The last block holds the bytes behind the words, and the length modulo 256 in the top byte.
[[nodiscard]] constexpr std::uint64_t length_word(std::size_t count) {
  return std::uint64_t{count} << 59;
}
inline constexpr std::uint64_t kTailLength = std::uint64_t{sizeof(std::uint32_t)} << 56;
[[nodiscard]] constexpr std::uint64_t last_word(std::size_t count, std::uint32_t tail) {
  return length_word(count) | tail | (tail != 0 ? kTailLength : 0);
}

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  constexpr SipState(std::uint64_t k0, std::uint64_t k1)
      : v0(k0 ^ kSipInit0), v1(k1 ^ kSipInit1), v2(k0 ^ kSipInit2), v3(k1 ^ kSipInit3) {}

  constexpr void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  constexpr void compress(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  [[nodiscard]] constexpr std::uint64_t finish() {
    v2 ^= kSipFinish;
    round();
    round();
    round();
    round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

void siphash24_scalar(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                      std::uint64_t* out, std::size_t n);

#if defined(__x86_64__)
void siphash24_avx2(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                    std::uint64_t* out, std::size_t n);
void siphash24_avx512(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                      std::uint64_t* out, std::size_t n);
#endif

// The vector kernels load this sixteen bytes at a time: the words, then the count and the tail.
static_assert(sizeof(MacInput) == 48 && offsetof(MacInput, count) == 40 &&
              offsetof(MacInput, tail) == 44);
inline constexpr std::size_t kGroup = 8;

// Feeds a burst to a kernel that takes kGroup messages at a time. kMinRest and kMinBurst are the
// fewest messages for which a group is measurably faster than one message at a time. kMinRest is
// for the rest of a long burst: its group hashes some earlier messages again. kMinBurst is for a
// burst shorter than a group, which must be copied.
template <void (*kGroupKernel)(const std::uint64_t*, const std::uint64_t*, const MacInput*,
                               std::uint64_t*),
          std::size_t kMinRest, std::size_t kMinBurst>
inline void run_in_groups(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                          std::uint64_t* out, std::size_t n) {
  std::size_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    kGroupKernel(k0s + i, k1s + i, in + i, out + i);
  }
  const std::size_t rest = n - i;
  if (n >= kGroup && rest >= kMinRest) {
    const std::size_t last = n - kGroup;
    kGroupKernel(k0s + last, k1s + last, in + last, out + last);
    return;
  }
  if (n >= kGroup || n < kMinBurst) {
    siphash24_scalar(k0s + i, k1s + i, in + i, out + i, rest);
    return;
  }
  std::array<std::uint64_t, kGroup> padded_k0s;
  std::array<std::uint64_t, kGroup> padded_k1s;
  std::array<std::uint64_t, kGroup> padded_out;
  std::array<MacInput, kGroup> padded_in;
  for (std::size_t lane = 0; lane < kGroup; ++lane) {
    const std::size_t from = lane < n ? lane : 0;
    padded_k0s[lane] = k0s[from];
    padded_k1s[lane] = k1s[from];
    padded_in[lane] = in[from];
  }
  kGroupKernel(padded_k0s.data(), padded_k1s.data(), padded_in.data(), padded_out.data());
  std::copy_n(padded_out.begin(), n, out);
}

}  // namespace synproxy::detail
