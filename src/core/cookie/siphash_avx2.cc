// SPDX-License-Identifier: BSD-3-Clause
#include "../lanes/avx2.h"

#include "siphash_burst_lanes.h"

#if defined(__x86_64__)
namespace synproxy::detail {

void siphash24_avx2(const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in,
                    std::uint64_t* out, std::size_t n) {
  run_in_groups<avx2::hash_group, 5, 7>(k0s, k1s, in, out, n);
}

}  // namespace synproxy::detail
#endif
