// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h for SYNs of several shapes and of none.
#include "../lanes/avx2.h"

#include "syn/mixed_syns_lanes.h"

namespace synproxy::avx2 {
#if defined(__x86_64__)
const MixedSynKernels* const kMixedSynKernels = &kMixedTable;
const MixedSynKernels* const kOddSynKernels = &kOddTable;
#else
const MixedSynKernels* const kMixedSynKernels = nullptr;
const MixedSynKernels* const kOddSynKernels = nullptr;
#endif
}  // namespace synproxy::avx2
