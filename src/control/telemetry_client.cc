// SPDX-License-Identifier: BSD-3-Clause
#include "control/telemetry_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/errors.h"
#include "control/socket_path.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTelemetrySocket = "dpdk_telemetry.v2";
constexpr std::size_t kMaxReply = 1U << 20;
// A client that only asks and goes has left in less than this.
constexpr unsigned kTries = 10;
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

TelemetryClient::TelemetryClient(const std::string& name)
    : TelemetryClient(name, socket_paths(name, kTelemetrySocket)) {}

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
  fd_ = connect_to_first(name_, paths, SOCK_SEQPACKET);
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
    throw_no_answer(name_);
  }
  reply.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return reply;
}

}  // namespace synproxy::control
