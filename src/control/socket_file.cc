// SPDX-License-Identifier: BSD-3-Clause
#include "control/socket_file.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr int kBacklog = 16;

std::string words_of(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw RuntimeFailure("the control socket " + path.string() + " cannot be made (" +
                       words_of(error) + "); make its directory writable, or free some room");
}

// A group reaches the socket through directories that DPDK makes for their owner alone. Passing
// through them shows nothing of what else is there.
void let_through(const std::filesystem::path& directory, const std::filesystem::path& path,
                 std::optional<gid_t> group) {
  constexpr uid_t kSameUser = static_cast<uid_t>(-1);
  if (!group) {
    static_cast<void>(::chmod(directory.c_str(), S_IRWXU));  // an earlier proxy may have had one
    return;
  }
  struct stat parent {};
  const std::string above = directory.parent_path();
  const bool through = ::chown(path.c_str(), kSameUser, *group) == 0 &&
                       ::chmod(path.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) == 0 &&
                       ::chown(directory.c_str(), kSameUser, *group) == 0 &&
                       ::chmod(directory.c_str(), S_IRWXU | S_IXGRP) == 0 &&
                       ::stat(above.c_str(), &parent) == 0 &&
                       ((parent.st_mode & S_IXOTH) != 0 ||
                        ::chmod(above.c_str(), (parent.st_mode & 07777U) | S_IXGRP | S_IXOTH) == 0);
  if (through) return;
  const int error = errno;
  throw RuntimeFailure("--control-group " + std::to_string(*group) + ": " + path.string() +
                       " cannot be opened to it (" + words_of(error) +
                       "); run as root, or name a group of yours");
}

}  // namespace

std::optional<gid_t> control_group(const std::string& group) {
  if (group.empty()) return std::nullopt;
  if (const ::group* found = ::getgrnam(group.c_str())) return found->gr_gid;
  gid_t number = 0;
  const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), number);
  if (error == std::errc() && end == group.data() + group.size() &&
      number != static_cast<gid_t>(-1)) {
    return number;
  }
  throw UsageError("--control-group " + group +
                   ": there is no such group; see `getent group`, or make it with `groupadd`");
}

SocketFile::SocketFile(const std::filesystem::path& directory, std::optional<gid_t> group)
    : path_(directory / kControlSocket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.native().size() >= sizeof address.sun_path) fail(path_, ENAMETOOLONG);
  std::memcpy(address.sun_path, path_.c_str(), path_.native().size() + 1);
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) fail(path_, errno);
  static_cast<void>(::unlink(path_.c_str()));
  try {
    // Nobody else passes the directory before the mode is set.
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::chmod(path_.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(fd_, kBacklog) != 0) {
      fail(path_, errno);
    }
    let_through(directory, path_, group);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

SocketFile::~SocketFile() {
  static_cast<void>(::unlink(path_.c_str()));
  ::close(fd_);
}

}  // namespace synproxy::control
