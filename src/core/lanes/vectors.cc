// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/vectors.h"

namespace synproxy {

Vectors cpu_vectors() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0) {
    return Vectors::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") != 0) return Vectors::kAvx2;
#endif
  return Vectors::kNone;
}

}  // namespace synproxy
