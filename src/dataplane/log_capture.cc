// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/log_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace synproxy::dataplane {
namespace {

ssize_t write_cookie(void* cookie, const char* text, std::size_t length) {
  static_cast<LogCapture*>(cookie)->write({text, length});
  return static_cast<ssize_t>(length);
}

// What EAL says of an argument after it has said what is wrong with it.
constexpr std::string_view kGeneric = "Invalid 'command line' arguments.";

// Cuts the "EAL: " of "EAL: Cannot find device" and the "vdev_probe(): " of "vdev_probe(): failed".
std::string_view without_prefix(std::string_view line) {
  for (const std::string_view separator : {std::string_view("(): "), std::string_view(": ")}) {
    const auto at = line.find(separator);
    if (at != std::string_view::npos && line.substr(0, at).find(' ') == std::string_view::npos &&
        at + separator.size() < line.size()) {
      line.remove_prefix(at + separator.size());
    }
  }
  return line;
}

}  // namespace

LogCapture::LogCapture(bool pass_on) {
  if (pass_on) pass_on_ = std::make_unique<LineWriter>(STDERR_FILENO, kPassOnMemory);
  cookie_io_functions_t functions{};
  functions.write = write_cookie;
  stream_ = ::fopencookie(this, "w", functions);
  if (stream_ != nullptr) static_cast<void>(std::setvbuf(stream_, nullptr, _IONBF, 0));
}

LogCapture::~LogCapture() {
  if (stream_ != nullptr) static_cast<void>(std::fclose(stream_));
  if (!partial_.empty()) end_line();
}

void LogCapture::write(std::string_view text) {
  const std::lock_guard lock(mutex_);
  for (const char c : text) {
    if (c != '\n') {
      partial_.push_back(c);
    } else {
      end_line();
    }
  }
}

void LogCapture::end_line() {
  if (pass_on_) pass_on_->write(partial_ + "\n");
  usage_ = usage_ || partial_.starts_with("Usage: ");
  if (!usage_ && !partial_.empty() && !partial_.ends_with(kGeneric)) {
    lines_.push_back(std::move(partial_));
  }
  partial_.clear();
  if (lines_.size() > kKept) lines_.pop_front();
}

void LogCapture::forget() {
  const std::lock_guard lock(mutex_);
  if (!partial_.empty()) end_line();
  lines_.clear();
  usage_ = false;
}

std::string LogCapture::last_line() const {
  const std::lock_guard lock(mutex_);
  if (!partial_.empty()) return std::string(without_prefix(partial_));
  return lines_.empty() ? std::string() : std::string(without_prefix(lines_.back()));
}

QuietScope::QuietScope(LogCapture& capture) : capture_(capture) {
  static_cast<void>(std::fflush(stdout));
  static_cast<void>(std::fflush(stderr));
  memory_ = ::memfd_create("synproxy-quiet", MFD_CLOEXEC);
  if (memory_ < 0) return;
  saved_out_ = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  saved_err_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (saved_out_ >= 0) ::dup2(memory_, STDOUT_FILENO);
  if (saved_err_ >= 0) ::dup2(memory_, STDERR_FILENO);
}

QuietScope::~QuietScope() {
  static_cast<void>(std::fflush(stdout));
  static_cast<void>(std::fflush(stderr));
  if (saved_out_ >= 0) {
    ::dup2(saved_out_, STDOUT_FILENO);
    ::close(saved_out_);
  }
  if (saved_err_ >= 0) {
    ::dup2(saved_err_, STDERR_FILENO);
    ::close(saved_err_);
  }
  if (memory_ < 0) return;
  std::array<char, 4096> block{};
  ::lseek(memory_, 0, SEEK_SET);
  for (ssize_t n = ::read(memory_, block.data(), block.size()); n > 0;
       n = ::read(memory_, block.data(), block.size())) {
    capture_.write({block.data(), static_cast<std::size_t>(n)});
  }
  ::close(memory_);
}

}  // namespace synproxy::dataplane
