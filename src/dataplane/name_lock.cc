// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/name_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "control/config.h"

namespace synproxy::dataplane {
namespace {

// Where EAL puts the files of a prefix.
std::filesystem::path runtime_directory(const std::string& name) {
  std::filesystem::path base = "/var/run";
  if (::geteuid() != 0) {
    const char* own = std::getenv("XDG_RUNTIME_DIR");
    base = own != nullptr ? own : "/tmp";
  }
  return base / "dpdk" / name;
}

}  // namespace

NameLock::NameLock(const std::string& name) {
  const std::filesystem::path directory = runtime_directory(name);
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const std::filesystem::path file = directory / "synproxy.lock";
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0) {
    throw control::UsageError("--name " + name + ": no permission to write in " +
                              directory.string() + "; run as root");
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(fd_);
  throw control::UsageError("--name " + name +
                            ": a proxy of this name is running; stop it, or give "
                            "this one another --name");
}

NameLock::~NameLock() { ::close(fd_); }

}  // namespace synproxy::dataplane
