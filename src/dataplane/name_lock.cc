// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/name_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "base/config.h"
#include "base/errors.h"

namespace synproxy::dataplane {
namespace {

const char* advice(int error) {
  if (error == ENOSPC || error == EDQUOT) return "free some room there";
  return error == EACCES || error == EPERM ? "run as root" : "make it writable";
}

}  // namespace

std::filesystem::path runtime_directory(const std::string& name) {
  std::filesystem::path base = "/var/run";
  if (::geteuid() != 0) {
    const char* own = std::getenv("XDG_RUNTIME_DIR");
    base = own != nullptr ? own : "/tmp";
  }
  return base / "dpdk" / name;
}

NameLock::NameLock(const std::string& name) : directory_(runtime_directory(name)) {
  // For the owner alone, as EAL makes them, because the telemetry socket will stand there. EAL
  // judges directories that exist already.
  static_cast<void>(::mkdir(directory_.parent_path().c_str(), S_IRWXU));
  const std::filesystem::path file = directory_ / "synproxy.lock";
  struct stat locked {};
  do {
    static_cast<void>(::mkdir(directory_.c_str(), S_IRWXU));
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd_ < 0) {
      const int error = errno;
      throw UsageError("--name " + name + ": cannot write in " + directory_.string() + " (" +
                       std::generic_category().message(error) + "); " + advice(error));
    }
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      throw UsageError("--name " + name +
                       ": a proxy of this name is running; stop it, or give this one another "
                       "--name");
    }
    // The last owner may have removed the file between our two calls: a lock on it holds nobody
    // off.
  } while (::fstat(fd_, &locked) == 0 && locked.st_nlink == 0);
}

void NameLock::renamed(const std::string& name) { directory_ = runtime_directory(name); }

NameLock::~NameLock() {
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  ::close(fd_);
}

}  // namespace synproxy::dataplane
