// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h for SYNs of several shapes and of none.
#include "../lanes/avx512.h"

#include "syn/mixed_syns_lanes.h"

#if defined(__x86_64__)
namespace synproxy::avx512 {

constexpr MixedSynKernels kMixedSynKernels = kMixedTable;
constexpr MixedSynKernels kOddSynKernels = kOddTable;

}  // namespace synproxy::avx512
#endif
