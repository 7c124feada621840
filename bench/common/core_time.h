// SPDX-License-Identifier: BSD-3-Clause
// Tells whether this thread had its core to itself.
#pragma once

#include <sys/resource.h>

namespace synproxy::bench {

// Grows when the kernel gives the core to another thread. Interrupts do not count.
[[nodiscard]] inline long context_switches() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw + usage.ru_nvcsw;
}

}  // namespace synproxy::bench
