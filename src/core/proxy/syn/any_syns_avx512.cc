// SPDX-License-Identifier: BSD-3-Clause
// The kernels of any_syns.h.
#include "../lanes/avx512.h"

#include "syn/any_syns_lanes.h"

namespace synproxy::avx512 {
#if defined(__x86_64__)
const AnySynKernels* const kAnySynKernels = &kAnySynTable;
#else
const AnySynKernels* const kAnySynKernels = nullptr;
#endif
}  // namespace synproxy::avx512
