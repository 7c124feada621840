// SPDX-License-Identifier: BSD-3-Clause
#include "control/telemetry_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/errors.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRootDirectory = "/var/run";
constexpr std::time_t kPatienceSeconds = 5;
constexpr std::size_t kMaxReply = 1U << 20;

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
  std::string denied;
  for (const std::string& path : paths) {
    const int result = connect_to(path);
    if (result >= 0) {
      fd_ = result;
      break;
    }
    if (is_denied(-result)) {
      denied = path;
    }
  }
  if (fd_ < 0 && !denied.empty()) {
    throw RuntimeFailure("--name " + name + ": no permission to ask at " + denied +
                         "; run as root, or as the user that started the proxy");
  }
  if (fd_ < 0) {
    throw RuntimeFailure("--name " + name +
                         ": not running; start it, or give the --name that it was started with");
  }
  try {
    const Json hello = receive();
    max_reply_ = std::min(hello.at("max_output_len").get<std::size_t>(), kMaxReply);
  } catch (const Json::exception&) {
    ::close(fd_);
    throw RuntimeFailure("--name " + name + ": what answers there does not speak DPDK's telemetry");
  } catch (const RuntimeFailure&) {
    ::close(fd_);
    throw;
  }
}

TelemetryClient::~TelemetryClient() { ::close(fd_); }

Json TelemetryClient::ask(const std::string& command) {
  if (::send(fd_, command.data(), command.size(), MSG_NOSIGNAL) < 0) {
    throw RuntimeFailure("--name " + name_ +
                         ": went away while it was asked; is it still running?");
  }
  try {
    return receive().at(command.substr(0, command.find(',')));
  } catch (const Json::exception&) {
    throw RuntimeFailure("--name " + name_ + ": answers " + command + " with something else");
  }
}

Json TelemetryClient::receive() {
  std::string reply(max_reply_, '\0');
  const ssize_t size = ::recv(fd_, reply.data(), reply.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    throw RuntimeFailure("--name " + name_ + ": has not answered for " +
                         std::to_string(kPatienceSeconds) + " s; try again, or restart it");
  }
  if (size <= 0) {
    throw RuntimeFailure("--name " + name_ +
                         ": went away while it was asked; is it still running?");
  }
  return Json::parse(reply.begin(), reply.begin() + size);
}

}  // namespace synproxy::control
