// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/siphash.h"

#include <array>

#include "siphash_kernels.h"

namespace synproxy {

namespace {

// By Vectors.
constexpr auto kKernels = std::to_array<SipHashKernel>({
  {"scalar", &detail::siphash24_scalar},
#if defined(__x86_64__)
      {"avx2", &detail::siphash24_avx2}, {"avx512", &detail::siphash24_avx512},
#endif
});

}  // namespace

std::uint64_t siphash24(std::uint64_t k0, std::uint64_t k1, const std::uint64_t* words,
                        std::size_t count, std::uint32_t tail) {
  detail::SipState state(k0, k1);
  for (std::size_t i = 0; i < count; ++i) {
    state.compress(words[i]);
  }
  state.compress(detail::last_word(count, tail));
  return state.finish();
}

std::span<const SipHashKernel> siphash24_kernels() {
  return std::span(kKernels).first(static_cast<std::size_t>(cpu_vectors()) + 1);
}

const SipHashKernel& siphash24_kernel(Vectors v) { return kKernels[static_cast<std::size_t>(v)]; }

void siphash24_burst(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                     std::uint64_t* out, std::size_t n) {
  siphash24_kernel(cpu_vectors()).run(k0s, k1s, in, out, n);
}

namespace detail {

// Two messages of the same length at a time: their rounds overlap in the pipeline. Three would
// spill registers.
void siphash24_scalar(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                      std::uint64_t* out, std::size_t n) {
  std::size_t i = 0;
  while (i + 1 < n && in[i].count == in[i + 1].count) {
    SipState a(k0s[i], k1s[i]);
    SipState b(k0s[i + 1], k1s[i + 1]);
    const std::size_t count = in[i].count;
    for (std::size_t w = 0; w < count; ++w) {
      a.compress(in[i].words[w]);
      b.compress(in[i + 1].words[w]);
    }
    a.compress(last_word(count, in[i].tail));
    b.compress(last_word(count, in[i + 1].tail));
    out[i] = a.finish();
    out[i + 1] = b.finish();
    i += 2;
  }
  for (; i < n; ++i) {
    out[i] = siphash24(k0s[i], k1s[i], in[i]);
  }
}

}  // namespace detail

}  // namespace synproxy
