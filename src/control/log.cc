// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <utility>

namespace synproxy::control {
namespace {

LogThreads* threads = nullptr;

constexpr std::size_t kLines = 100;
constexpr std::size_t kBytes = 400;

struct Kept {
  std::mutex mutex;
  std::deque<Said> lines;
};

Kept& kept() {
  static Kept instance;
  return instance;
}

void keep(std::string_view text) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Said said{.unix_ms = static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::milliseconds>(now).count()),
            .text = one_line(text.substr(0, kBytes)).substr(0, kBytes)};
  const std::lock_guard lock(kept().mutex);
  kept().lines.push_back(std::move(said));
  if (kept().lines.size() > kLines) kept().lines.pop_front();
}

// Whether JOURNAL_STREAM, "DEVICE:INODE", is this stream. Another program may have redirected it.
bool is_journal(int fd) {
  const char* named = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  return named != nullptr && ::fstat(fd, &status) == 0 &&
         named == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

std::string line_of(int fd, int priority, std::string_view text) {
  static const bool journal[] = {false, is_journal(STDOUT_FILENO), is_journal(STDERR_FILENO)};
  return (journal[fd] ? "<" + std::to_string(priority) + ">" : std::string("synproxy: ")) +
         one_line(text) + "\n";
}

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

void say(std::string_view text) {
  keep(text);
  say_rates(text);
}

// The proxy does not stop because a stream is closed or full.
void say_rates(std::string_view text) {
  const std::string line = line_of(STDOUT_FILENO, LOG_INFO, text);
  if (threads != nullptr) return threads->out_.write(line);
  static_cast<void>(write_whole(STDOUT_FILENO, line));
}

void complain(std::string_view text) {
  keep(text);
  const std::string line = line_of(STDERR_FILENO, LOG_WARNING, text);
  if (threads != nullptr) return threads->err_.write(line);
  static_cast<void>(write_whole(STDERR_FILENO, line));
}

void fail(std::string_view text) {
  keep(text);
  const std::string line = line_of(STDERR_FILENO, LOG_ERR, text);
  if (threads != nullptr) return threads->err_.write(line);
  static_cast<void>(write_whole(STDERR_FILENO, line));
}

std::vector<Said> recently_said() {
  const std::lock_guard lock(kept().mutex);
  return {kept().lines.begin(), kept().lines.end()};
}

void finish_log() {
  if (threads == nullptr) return;
  threads->out_.finish();
  threads->err_.finish();
}

LogThreads::LogThreads() : out_(STDOUT_FILENO), err_(STDERR_FILENO) { threads = this; }
LogThreads::~LogThreads() { threads = nullptr; }

}  // namespace synproxy::control
