// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h for SYNs of several shapes and of none.
#include "../lanes/avx2.h"

#include "syn/mixed_syns_lanes.h"

#if defined(__x86_64__)
namespace synproxy::avx2 {

constexpr MixedSynKernels kMixedSynKernels = kMixedTable;
constexpr MixedSynKernels kOddSynKernels = kOddTable;

}  // namespace synproxy::avx2
#endif
