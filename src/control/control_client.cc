// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/requests.h"
#include "control/socket_file.h"
#include "control/socket_path.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPart = 256U << 10;
constexpr std::size_t kLongestLine = 64U << 20;

}  // namespace

ControlClient::ControlClient(const std::string& name)
    : ControlClient(name, socket_paths(name, kControlSocket)) {}

ControlClient::ControlClient(const std::string& name, const std::vector<std::string>& paths)
    : name_(name),
      fd_(connect_to_first(name, paths, SOCK_STREAM, "or as one of its --control-group")) {}

ControlClient::~ControlClient() { ::close(fd_); }

void ControlClient::fill() {
  got_.erase(0, at_);
  at_ = 0;
  const std::size_t had = got_.size();
  got_.resize(had + kPart);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(Answer::kMostFiles * sizeof(int))> room{};
  iovec bytes{got_.data() + had, kPart};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  ssize_t size = -1;
  do {
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    size = ::recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  const cmsghdr* header = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    std::vector<int> files((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(files.data(), CMSG_DATA(header), files.size() * sizeof(int));
    for (const int fd : files) files_.emplace_back(fd);
  }
  got_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size > 0) return;
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) throw_no_answer(name_);
  throw RuntimeFailure("--name " + name_ +
                       ": hung up while it was asked: it has ended, or too many others ask; try "
                       "again");
}

Json ControlClient::next_line() {
  std::size_t end = std::string::npos;
  while ((end = got_.find('\n', at_)) == std::string::npos) {
    if (got_.size() - at_ > kLongestLine) {
      throw RuntimeFailure("--name " + name_ + ": what answers there is no synproxy");
    }
    fill();
  }
  const std::size_t begin = std::exchange(at_, end + 1);
  try {
    return Json::parse(got_.begin() + static_cast<std::ptrdiff_t>(begin),
                       got_.begin() + static_cast<std::ptrdiff_t>(end));
  } catch (const Json::exception&) {
    throw RuntimeFailure("--name " + name_ + ": what answers there is no synproxy");
  }
}

void ControlClient::read(void* out, std::size_t bytes) {
  auto* to = static_cast<char*>(out);
  while (bytes != 0) {
    if (at_ == got_.size()) fill();
    const std::size_t part = std::min(bytes, got_.size() - at_);
    std::memcpy(to, got_.data() + at_, part);
    at_ += part;
    to += part;
    bytes -= part;
  }
}

Json ControlClient::ask(const Json& request) {
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t took = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (took < 0 && errno == EINTR) continue;
    if (took <= 0) break;  // the reason is read below
    sent += static_cast<std::size_t>(took);
  }
  const Json answer = next_line();
  try {
    if (answer.at("ok").get<bool>()) return answer.at("result");
    const auto error = answer.at("error").get<std::string>();
    if (answer.at("usage").get<bool>()) throw UsageError(error);
    throw RuntimeFailure(error);
  } catch (const Json::exception&) {
    throw RuntimeFailure("--name " + name_ +
                         ": answers with something else; use the program that "
                         "was started");
  }
}

}  // namespace synproxy::control
