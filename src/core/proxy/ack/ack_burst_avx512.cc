// SPDX-License-Identifier: BSD-3-Clause
// The kernels of ack_burst.h and any_acks.h.
#include "../lanes/avx512.h"

#include "ack/ack_burst_lanes.h"
#include "ack/sort_acks_lanes.h"

#if defined(__x86_64__)
namespace synproxy::avx512 {

constexpr AckKernels kAckKernels = kAckTable;
constexpr AckSorter kAckSorter{&sort_acks};
constexpr AnyAckKernels kAnyAckKernels = kAnyAckTable;

}  // namespace synproxy::avx512
#endif
