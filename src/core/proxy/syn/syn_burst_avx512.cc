// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h.
#include "../lanes/avx512.h"

#include "syn/sort_syns_lanes.h"
#include "syn/syn_burst_lanes.h"

#if defined(__x86_64__)
namespace synproxy::avx512 {

constexpr SynKernels kSynKernels = kSynTable;
constexpr SynSorter kSynSorter{&sort_syns};

}  // namespace synproxy::avx512
#endif
