// SPDX-License-Identifier: BSD-3-Clause
#include "base/runtime_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

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

}  // namespace synproxy
