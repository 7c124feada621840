// SPDX-License-Identifier: BSD-3-Clause
#include "base/runtime_files.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <system_error>

namespace synproxy {

std::filesystem::path record_directory() {
  if (::geteuid() == 0) return "/var/run/synproxy";
  const char* own = std::getenv("XDG_RUNTIME_DIR");
  return own != nullptr && *own != 0 ? std::filesystem::path(own) / "synproxy"
                                     : std::filesystem::path();
}

bool private_directory(const std::filesystem::path& directory) {
  if (directory.empty()) return false;
  static_cast<void>(::mkdir(directory.c_str(), S_IRWXU));
  struct stat status {};
  return ::lstat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         (status.st_uid == ::geteuid() || ::geteuid() == 0) &&
         (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::uint64_t network_namespace() {
  struct stat status {};
  return ::stat("/proc/thread-self/ns/net", &status) == 0 ? status.st_ino : 0;
}

std::string interface_record_prefix(const std::string& interface, unsigned index) {
  return interface + "." + std::to_string(index) + "." + std::to_string(network_namespace()) + ".";
}

bool interface_has_user(const std::string& interface, const std::filesystem::path& directory) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0 || !private_directory(directory)) return false;
  const std::string prefix = interface_record_prefix(interface, index);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    // To read is enough for a lock: the file may be another user's.
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    // Shared: another one that only looks is no user.
    const bool locked = ::flock(fd, LOCK_SH | LOCK_NB) != 0;
    ::close(fd);
    if (locked) return true;
  }
  return false;
}

}  // namespace synproxy
