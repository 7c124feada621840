// SPDX-License-Identifier: BSD-3-Clause
// The kernels of any_syns.h.
#include "../lanes/avx2.h"

#include "syn/any_syns_lanes.h"

#if defined(__x86_64__)
namespace synproxy::avx2 {

constexpr AnySynKernels kAnySynKernels = kAnySynTable;

}  // namespace synproxy::avx2
#endif
