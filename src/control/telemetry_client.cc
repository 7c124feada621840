// SPDX-License-Identifier: BSD-3-Clause
#include "control/telemetry_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/config.h"
#include "base/errors.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRootDirectory = "/var/run";
constexpr std::time_t kPatienceSeconds = 5;
constexpr std::size_t kMaxReply = 1U << 20;
// A client that only asks and goes has left in less than this.
constexpr unsigned kTries = 10;
constexpr std::chrono::milliseconds kPause{100};

std::string path_under(std::string_view directory, const std::string& name) {
  return std::string(directory) + "/dpdk/" + name + "/dpdk_telemetry.v2";
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
int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return -ENAMETOOLONG;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
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

std::vector<std::string> socket_paths(const std::string& name) {
  std::vector<std::string> paths = {path_under(own_directory(), name)};
  const std::string roots = path_under(kRootDirectory, name);
  if (paths.front() != roots) {
    paths.push_back(roots);
  }
  return paths;
}

TelemetryClient::TelemetryClient(const std::string& name)
    : TelemetryClient(name, socket_paths(name)) {}

TelemetryClient::TelemetryClient(const std::string& name, const std::vector<std::string>& paths)
    : name_(name) {
  for (unsigned tries = 1; !greeted(paths); ++tries) {
    if (tries == kTries) {
      throw RuntimeFailure("--name " + name +
                           ": runs, and answers nobody more: DPDK's telemetry serves ten clients "
                           "at a time; close one, 'ss -xp' shows them");
    }
    std::this_thread::sleep_for(kPause);
  }
}

// False: the proxy hung up before it said anything, as DPDK does when it has too many clients.
bool TelemetryClient::greeted(const std::vector<std::string>& paths) {
  fd_ = connect_to_first(paths);
  try {
    const std::string hello = receive();
    if (hello.empty()) {
      ::close(std::exchange(fd_, -1));
      return false;
    }
    max_reply_ = std::min(Json::parse(hello).at("max_output_len").get<std::size_t>(), kMaxReply);
  } catch (const Json::exception&) {
    ::close(fd_);
    throw RuntimeFailure("--name " + name_ +
                         ": what answers there does not speak DPDK's telemetry");
  } catch (const RuntimeFailure&) {
    ::close(fd_);
    throw;
  }
  return true;
}

int TelemetryClient::connect_to_first(const std::vector<std::string>& paths) const {
  std::string denied;
  for (const std::string& path : paths) {
    const int result = connect_to(path);
    if (result >= 0) return result;
    if (is_denied(-result)) denied = path;
  }
  if (!denied.empty()) {
    throw RuntimeFailure("--name " + name_ + ": no permission to ask at " + denied +
                         "; run as root, or as the user that started the proxy");
  }
  throw RuntimeFailure("--name " + name_ +
                       ": not running; start it, or give the --name that it was started with");
}

TelemetryClient::~TelemetryClient() { ::close(fd_); }

Json TelemetryClient::ask(const std::string& command) {
  const bool asked = ::send(fd_, command.data(), command.size(), MSG_NOSIGNAL) >= 0;
  const std::string reply = asked ? receive() : std::string();
  if (reply.empty()) {
    throw RuntimeFailure("--name " + name_ +
                         ": went away while it was asked; is it still running?");
  }
  try {
    return Json::parse(reply).at(command.substr(0, command.find(',')));
  } catch (const Json::exception&) {
    throw RuntimeFailure("--name " + name_ + ": answers " + command + " with something else");
  }
}

std::string TelemetryClient::receive() const {
  std::string reply(max_reply_, '\0');
  const ssize_t size = ::recv(fd_, reply.data(), reply.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    throw RuntimeFailure("--name " + name_ + ": has not answered for " +
                         std::to_string(kPatienceSeconds) + " s; try again, or restart it");
  }
  reply.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return reply;
}

}  // namespace synproxy::control
