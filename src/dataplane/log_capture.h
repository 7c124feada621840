// SPDX-License-Identifier: BSD-3-Clause
// Catches what DPDK and the libraries under it print. The lines are kept for error texts, and go to
// standard error only if the user asked for debug output.
#pragma once

#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/line_writer.h"

namespace synproxy::dataplane {

class LogCapture {
 public:
  explicit LogCapture(bool pass_on);
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  // For rte_openlog_stream; nullptr if it could not be made.
  [[nodiscard]] std::FILE* stream() const { return stream_; }

  void write(std::string_view text);
  // Forgets the lines kept: what follows belongs to the next attempt.
  void forget();
  // For an error text: the lines kept since then that say something, without the libraries'
  // prefixes, the last one first. Empty: nothing was said.
  [[nodiscard]] std::string last_line() const;

 private:
  // Enough for one failing probe, and bounded for a chatty driver.
  static constexpr std::size_t kKept = 64;
  // EAL says some 100 KB at once when it is asked for everything.
  static constexpr std::size_t kPassOnMemory = 1U << 20;

  void end_line();

  mutable std::mutex mutex_;
  std::deque<std::string> lines_;
  std::string partial_;
  bool usage_ = false;  // EAL prints how to use it, which says nothing about what is wrong
  std::FILE* stream_ = nullptr;
  // To the user's standard error. Workers and the control thread may log; they wait for no reader.
  std::unique_ptr<LineWriter> pass_on_;
};

// While it lives, file descriptors 1 and 2 write into the capture, because FATAL lines of EAL,
// getopt and libxdp do not go through rte_log. Do not use it while another thread prints.
class QuietScope {
 public:
  explicit QuietScope(LogCapture& capture);
  ~QuietScope();
  QuietScope(const QuietScope&) = delete;
  QuietScope& operator=(const QuietScope&) = delete;

 private:
  LogCapture& capture_;
  int saved_out_ = -1;
  int saved_err_ = -1;
  int memory_ = -1;
};

}  // namespace synproxy::dataplane
