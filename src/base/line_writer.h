// SPDX-License-Identifier: BSD-3-Clause
// Lines to a stream whose reader may stall: a full pipe, a terminal that was stopped, a journal
// that hangs, a disk that is full.
//
// A caller never waits; a thread of the writer's own does. What that thread has not written yet
// stays in memory, up to a limit. Beyond that, and where the stream refuses a line, lines are lost.
// They are counted, and where they are missing one line says how many.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace synproxy {

class LineWriter {
 public:
  static constexpr std::size_t kUsualMemory = 64U << 10;
  static constexpr std::chrono::seconds kLastPatience{1};

  // Writes to a duplicate of `fd`, so that it may be redirected meanwhile. `memory`: bytes that may
  // wait; one line may, whatever its length. Throws RuntimeFailure.
  explicit LineWriter(int fd, std::size_t memory = kUsualMemory);
  ~LineWriter();  // finishes, and leaves behind what is stuck then
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // `line` ends with its newline. Any thread may call it.
  void write(std::string line);

  // Waits until all is written, kLastPatience at most. Nothing is written afterwards.
  void finish();

  // Lines lost by all writers of this process.
  [[nodiscard]] static std::uint64_t lost();

 private:
  struct Queue;
  std::shared_ptr<Queue> queue_;  // the thread's too: it may outlive the writer
};

// Writes `text`, and waits as long as that takes, also where the stream is non-blocking. Returns
// how much was written before the stream refused the rest.
std::size_t write_whole(int fd, std::string_view text);

}  // namespace synproxy
