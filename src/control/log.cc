// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <unistd.h>

namespace synproxy::control {
namespace {

LogThreads* threads = nullptr;

std::string line_of(std::string_view text) { return "synproxy: " + one_line(text) + "\n"; }

}  // namespace

std::string one_line(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15U]};
    } else {
      out += c;
    }
  }
  return out;
}

// The proxy does not stop because a stream is closed or full.
void say(std::string_view text) {
  if (threads != nullptr) return threads->out_.write(line_of(text));
  static_cast<void>(write_whole(STDOUT_FILENO, line_of(text)));
}

void complain(std::string_view text) {
  if (threads != nullptr) return threads->err_.write(line_of(text));
  static_cast<void>(write_whole(STDERR_FILENO, line_of(text)));
}

void finish_log() {
  if (threads != nullptr) threads->err_.finish();
}

LogThreads::LogThreads() : out_(STDOUT_FILENO), err_(STDERR_FILENO) { threads = this; }
LogThreads::~LogThreads() { threads = nullptr; }

}  // namespace synproxy::control
