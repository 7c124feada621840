// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/interface_record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/line_writer.h"
#include "base/runtime_files.h"

namespace synproxy::dataplane {
namespace {

constexpr std::size_t kMostBytes = 4096;  // some ten lines are usual

std::string file_name(const std::string& interface, const NetdevFacts& facts) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name = interface_record_prefix(interface, static_cast<unsigned>(facts.index));
  for (const std::uint8_t byte : facts.mac) name += {kDigits[byte >> 4], kDigits[byte & 15U]};
  return name;
}

}  // namespace

InterfaceRecord::InterfaceRecord(const std::filesystem::path& directory,
                                 const std::string& interface, const NetdevFacts& facts) {
  if (!private_directory(directory)) return;
  file_ = directory / file_name(interface, facts);
  open();
  if (fd_ >= 0) read();
}

InterfaceRecord::~InterfaceRecord() {
  for (const int fd : {fd_, waiting_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

// It was opened with the rights of the start, which may be gone.
bool InterfaceRecord::claim() {
  if (!waits() || ::flock(waiting_fd_, LOCK_EX | LOCK_NB) != 0) return false;
  const int fd = std::exchange(waiting_fd_, -1);
  struct stat file {};
  if (::fstat(fd, &file) != 0 || file.st_nlink == 0) {  // its owner has restored everything
    ::close(fd);
    return false;
  }
  fd_ = fd;
  read();
  return true;
}

void InterfaceRecord::open() {
  struct stat locked {};
  do {
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                 S_IRUSR | S_IWUSR);
    if (fd_ < 0) return;
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      waiting_fd_ = std::exchange(fd_, -1);
      return;
    }
    // Its last owner may have removed it between our two calls.
  } while (::fstat(fd_, &locked) == 0 && locked.st_nlink == 0);
}

void InterfaceRecord::read() {
  std::array<char, kMostBytes> text;
  const ssize_t size = ::pread(fd_, text.data(), text.size(), 0);
  if (size <= 0) return;
  std::string_view whole(text.data(), static_cast<std::size_t>(size));
  whole = whole.substr(0, whole.rfind('\n') + 1);  // of the last line a part may be missing
  if (::ftruncate(fd_, static_cast<off_t>(whole.size())) != 0) ::close(std::exchange(fd_, -1));
  std::istringstream words{std::string(whole)};
  for (InterfaceSetting s{}; words >> s.what >> s.before;) left_behind_.push_back(s);
}

void InterfaceRecord::add(const InterfaceSetting& setting) const {
  if (fd_ < 0) return;
  static_cast<void>(
      write_whole(fd_, std::to_string(setting.what) + " " + std::to_string(setting.before) + "\n"));
}

void InterfaceRecord::remove() {
  if (fd_ < 0) return;
  // First of all it is emptied: once privileges are dropped, only the open file is still ours.
  [[maybe_unused]] const int emptied = ::ftruncate(fd_, 0);
  static_cast<void>(::unlink(file_.c_str()));
  ::close(fd_);
  fd_ = -1;
}

}  // namespace synproxy::dataplane
