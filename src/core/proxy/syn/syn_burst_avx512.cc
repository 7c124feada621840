// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h.
#include "../lanes/avx512.h"

#include "syn/syn_burst_lanes.h"

namespace synproxy::avx512 {
#if defined(__x86_64__)
const SynKernels* const kSynKernels = &kSynTable;
#else
const SynKernels* const kSynKernels = nullptr;
#endif
}  // namespace synproxy::avx512
