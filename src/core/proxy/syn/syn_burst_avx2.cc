// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h.
#include "../lanes/avx2.h"

#include "syn/syn_burst_lanes.h"

namespace synproxy::avx2 {
#if defined(__x86_64__)
const SynKernels* const kSynKernels = &kSynTable;
#else
const SynKernels* const kSynKernels = nullptr;
#endif
}  // namespace synproxy::avx2
