// SPDX-License-Identifier: BSD-3-Clause
// What the program says. Each call prints exactly one line, "synproxy: ...", whatever its text
// holds.
//
// A reader of these lines may stall, and the thread that prints also derives keys and takes
// signals. While a LogThreads lives, nobody waits for a reader.
//
// A stream that goes to the journal (JOURNAL_STREAM, systemd.exec(5)) gets the priority of each
// line in its place, "<4>...": the journal knows the program's name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/line_writer.h"

namespace synproxy::control {

// Writes control characters as \xNN. A file name or an argument may hold some.
[[nodiscard]] std::string one_line(std::string_view text);

void say(std::string_view text);        // standard output: ready, changes, summary
void complain(std::string_view text);   // standard error: warnings
void fail(std::string_view text);       // standard error: errors
void say_rates(std::string_view text);  // standard output, and not kept

// The last lines that were kept, oldest first: 100 at most, of 400 bytes at most. For any thread.
struct Said {
  std::uint64_t unix_ms = 0;
  std::string text;
};
[[nodiscard]] std::vector<Said> recently_said();

// For a program that ends without LogThreads' end: waits a second at most for what is left.
void finish_log();

// At most one at a time; nobody prints while it begins or ends. Without it, printing waits.
class LogThreads {
 public:
  LogThreads();  // throws RuntimeFailure
  ~LogThreads();
  LogThreads(const LogThreads&) = delete;
  LogThreads& operator=(const LogThreads&) = delete;

 private:
  friend void say_rates(std::string_view text);
  friend void complain(std::string_view text);
  friend void fail(std::string_view text);
  friend void finish_log();
  LineWriter out_;
  LineWriter err_;
};

}  // namespace synproxy::control
