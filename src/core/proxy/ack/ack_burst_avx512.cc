// SPDX-License-Identifier: BSD-3-Clause
// The kernels of ack_burst.h and any_acks.h.
#include "../lanes/avx512.h"

#include "ack/ack_burst_lanes.h"
#include "ack/sort_acks_lanes.h"

namespace synproxy::avx512 {
#if defined(__x86_64__)
const AckKernels* const kAckKernels = &kAckTable;
constexpr AckSorter kSorter{&sort_acks};
const AckSorter* const kAckSorter = &kSorter;
const AnyAckKernels* const kAnyAckKernels = &kAnyAckTable;
#else
const AckKernels* const kAckKernels = nullptr;
const AckSorter* const kAckSorter = nullptr;
const AnyAckKernels* const kAnyAckKernels = nullptr;
#endif
}  // namespace synproxy::avx512
