// SPDX-License-Identifier: BSD-3-Clause
#include "control/socket_path.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr std::string_view kRootDirectory = "/var/run";
constexpr unsigned kPatienceSeconds = 5;

std::string path_under(std::string_view directory, const std::string& name, std::string_view file) {
  std::string path(directory);
  path += "/dpdk/" + name + "/";
  path += file;
  return path;
}

// Chooses as EAL does: systemd's directory, else one that depends on the user.
std::string own_directory() {
  if (const char* systemd = std::getenv("RUNTIME_DIRECTORY")) {
    return systemd;
  }
  if (::getuid() == 0) {
    return std::string(kRootDirectory);
  }
  const char* session = std::getenv("XDG_RUNTIME_DIR");
  return session != nullptr ? session : "/tmp";
}

// The connected socket, or minus errno.
int connect_to(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return -ENAMETOOLONG;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -errno;
  }
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    ::close(fd);
    return -error;
  }
  return fd;
}

bool is_denied(int error) { return error == EACCES || error == EPERM; }

}  // namespace

std::vector<std::string> socket_paths(const std::string& name, std::string_view file) {
  std::vector<std::string> paths = {path_under(own_directory(), name, file)};
  const std::string roots = path_under(kRootDirectory, name, file);
  if (paths.front() != roots) {
    paths.push_back(roots);
  }
  return paths;
}

int connect_to_first(const std::string& name, const std::vector<std::string>& paths, int type,
                     std::string_view or_as) {
  std::string denied;
  for (const std::string& path : paths) {
    const int result = connect_to(path, type);
    if (result >= 0) return result;
    if (is_denied(-result)) denied = path;
  }
  if (!denied.empty()) {
    throw RuntimeFailure("--name " + name + ": no permission to ask at " + denied +
                         "; run as root, or as the user that started the proxy" +
                         (or_as.empty() ? "" : ", ") + std::string(or_as));
  }
  throw RuntimeFailure("--name " + name +
                       ": not running; start it, or give the --name that it was started with");
}

void throw_no_answer(const std::string& name) {
  throw RuntimeFailure("--name " + name + ": has not answered for " +
                       std::to_string(kPatienceSeconds) + " s; try again, or restart it");
}

}  // namespace synproxy::control
