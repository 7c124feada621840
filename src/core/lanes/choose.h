// SPDX-License-Identifier: BSD-3-Clause
// Chooses among kernels that were compiled for several instruction sets.
#pragma once

#include "synproxy/base/vectors.h"

namespace synproxy {

// nullptr: there is none.
template <typename Kernels>
[[nodiscard]] constexpr const Kernels* choose_kernels(Vectors v, const Kernels* avx2,
                                                      const Kernels* avx512) {
  return v == Vectors::kAvx512 ? avx512 : v == Vectors::kAvx2 ? avx2 : nullptr;
}

}  // namespace synproxy
