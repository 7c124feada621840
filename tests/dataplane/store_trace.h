// SPDX-License-Identifier: BSD-3-Clause
// Which cache lines a thread writes, and which it reads.
//
// Theory of operation. What is compiled with -fsanitize=thread calls a function before each of its
// loads and stores. Linked with store_trace.cc in place of the sanitizer's library, those calls
// note the line for the thread that said who it is; memcpy and the like are wrapped by the linker
// to the same end. Not seen: assembly (DPDK's compare-and-swap), in DPDK's own libraries, and in
// the kernel.
#pragma once

#include <cstdint>
#include <map>
#include <set>

namespace synproxy::tests {

class StoreTrace {
 public:
  static constexpr unsigned kThreads = 4;

  // Of the calling thread; the first call counts.
  static void i_am(unsigned number);
  static void begin();  // forgets what was noted
  static void end();

  // Line numbers, each with a place in the program that was there. After end(), when the threads
  // rest.
  using Found = std::map<std::uintptr_t, const void*>;
  [[nodiscard]] static Found written_by(unsigned number);
  [[nodiscard]] static Found read_by(unsigned number);

  // What this thread does meanwhile is not the program's work.
  class Pause {
   public:
    Pause();
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
  };
};

}  // namespace synproxy::tests
