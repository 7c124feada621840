// SPDX-License-Identifier: BSD-3-Clause
// The kernels that take frames eight at a time, and the choice of those that this CPU can run.
#pragma once

#include "ack/ack_burst.h"
#include "ack/any_acks.h"
#include "syn/any_syns.h"
#include "syn/syn_burst.h"
#include "synproxy/base/vectors.h"

namespace synproxy {

// All or none are there. nullptr: nothing is faster than one packet at a time.
struct Kernels {
  const SynSorter* syn_sorter = nullptr;
  const AckSorter* ack_sorter = nullptr;
  const SynKernels* syns = nullptr;
  const AckKernels* acks = nullptr;
  const AnyAckKernels* any_acks = nullptr;
  const AnySynKernels* any_syns = nullptr;
  // For SYNs of any of the shapes, whatever the service offers of what they ask for.
  const MixedSynKernels* mixed_syns = nullptr;
  // For SYNs with any options, with or without a wish for ECN, and without data. verify() fills
  // neither `options` nor `tsval`, but `tcp_length` with the length of the TCP header. As long as
  // that says, at least kTcpHeader bytes, each frame must be.
  const MixedSynKernels* odd_syns = nullptr;
};

// The tables of one instruction set. A source of its own defines each, beside the kernels.
#define SYNPROXY_KERNELS_OF(isa)                                                         \
  namespace isa {                                                                        \
  extern const SynSorter kSynSorter;                                                     \
  extern const AckSorter kAckSorter;                                                     \
  extern const SynKernels kSynKernels;                                                   \
  extern const AckKernels kAckKernels;                                                   \
  extern const AnyAckKernels kAnyAckKernels;                                             \
  extern const AnySynKernels kAnySynKernels;                                             \
  extern const MixedSynKernels kMixedSynKernels;                                         \
  extern const MixedSynKernels kOddSynKernels;                                           \
  inline constexpr Kernels kKernels{&kSynSorter,       &kAckSorter,     &kSynKernels,    \
                                    &kAckKernels,      &kAnyAckKernels, &kAnySynKernels, \
                                    &kMixedSynKernels, &kOddSynKernels};                 \
  }
#if defined(__x86_64__)
SYNPROXY_KERNELS_OF(avx2)
SYNPROXY_KERNELS_OF(avx512)
#endif
#undef SYNPROXY_KERNELS_OF

// Those that use these instructions.
[[nodiscard]] constexpr Kernels kernels_for([[maybe_unused]] Vectors v) {
#if defined(__x86_64__)
  if (v == Vectors::kAvx512) return avx512::kKernels;
  if (v == Vectors::kAvx2) return avx2::kKernels;
#endif
  return {};
}

}  // namespace synproxy
