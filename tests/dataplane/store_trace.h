// SPDX-License-Identifier: BSD-3-Clause
// Records which cache lines a thread writes, and which it reads.
//
// Theory of operation. Code compiled with -fsanitize=thread calls a function before each of its
// loads and stores. store_trace.cc replaces the sanitizer's library: its functions note the line
// for the thread that has said who it is. The linker wraps memcpy and the like for the same
// purpose. Accesses by assembly (DPDK's compare-and-swap), by DPDK's own libraries and by the
// kernel are not seen.
#pragma once

#include <cstdint>
#include <map>
#include <set>

namespace synproxy::tests {

class StoreTrace {
 public:
  static constexpr unsigned kThreads = 4;

  // Names the calling thread; the first call counts.
  static void i_am(unsigned number);
  static void begin();  // forgets what was noted
  static void end();

  // Line numbers, each with a place in the program that touched it. Call it after end(), while the
  // threads rest.
  using Found = std::map<std::uintptr_t, const void*>;
  [[nodiscard]] static Found written_by(unsigned number);
  [[nodiscard]] static Found read_by(unsigned number);

  // While it lives, the accesses of this thread do not count as the program's.
  class Pause {
   public:
    Pause();
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
  };
};

}  // namespace synproxy::tests
