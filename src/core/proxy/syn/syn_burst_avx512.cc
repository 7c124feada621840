// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h.
#include "../lanes/avx512.h"

#include "syn/sort_syns_lanes.h"
#include "syn/syn_burst_lanes.h"

namespace synproxy::avx512 {
#if defined(__x86_64__)
const SynKernels* const kSynKernels = &kSynTable;
constexpr SynSorter kSorter{&sort_syns};
const SynSorter* const kSynSorter = &kSorter;
#else
const SynKernels* const kSynKernels = nullptr;
const SynSorter* const kSynSorter = nullptr;
#endif
}  // namespace synproxy::avx512
