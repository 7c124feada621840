// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/errors.h"

namespace synproxy::control {
namespace {

constexpr std::chrono::milliseconds kAfterFailure{100};
constexpr int kLookMs = 100;  // how late a client may lose its place

// Sends what it can of `part`, and `passed` with its first byte.
ssize_t send_with(int fd, std::string_view part, const std::vector<int>& passed) {
  const std::size_t size = std::min(passed.size(), Answer::kMostFiles) * sizeof(int);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(Answer::kMostFiles * sizeof(int))> room{};
  iovec bytes{const_cast<char*>(part.data()), part.size()};  // sendmsg() only reads
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = CMSG_SPACE(size);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(header), passed.data(), size);
  return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

Peer peer_of(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return {};
  return {.pid = who.pid, .uid = who.uid, .may_change = who.uid == 0 || who.uid == ::geteuid()};
}

}  // namespace

ControlServer::Client::~Client() { ::close(fd); }

ControlServer::ControlServer(const std::filesystem::path& directory, std::optional<gid_t> group,
                             Requests requests, const ServerLimits& limits)
    : limits_(limits), requests_(std::move(requests)), file_(directory, group) {
  stop_fd_ = ::eventfd(0, EFD_CLOEXEC);
  if (stop_fd_ < 0) {
    throw RuntimeFailure("the control socket: " + std::generic_category().message(errno));
  }
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    ::close(stop_fd_);
    throw RuntimeFailure(std::string("no thread can be started: ") + error.what());
  }
}

ControlServer::~ControlServer() {
  const std::uint64_t one = 1;
  while (::write(stop_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
  ::close(stop_fd_);
}

// How long poll() may wait.
int ControlServer::patience() const {
  if (std::ranges::any_of(clients_, &Client::asked_ahead)) return 0;
  if (std::ranges::any_of(clients_, &Client::waits)) return 1;
  return clients_.empty() && deaf_until_ < Clock::now() ? -1 : kLookMs;
}

void ControlServer::run() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "synproxy-ctl"));
  for (bool more = true; more;) {
    try {
      more = turn();
    } catch (const std::bad_alloc&) {
      clients_.clear();  // gives back what their answers hold
    }
  }
}

// False: it is time to stop.
bool ControlServer::turn() {
  const bool deaf = Clock::now() < deaf_until_;
  std::vector<pollfd> events = {{stop_fd_, POLLIN, 0}, {deaf ? -1 : file_.descriptor(), POLLIN, 0}};
  for (const Client& client : clients_) {
    const bool reads = !client.answering() && !client.asked_ahead();
    const bool writes = client.answering() && !client.waits;
    events.push_back({client.fd, static_cast<short>(reads ? POLLIN : writes ? POLLOUT : 0), 0});
  }
  if (::poll(events.data(), events.size(), patience()) < 0 && errno != EINTR)
    throw std::bad_alloc();
  if (events[0].revents != 0) return false;
  std::size_t at = 2;
  for (Client& client : clients_) {
    const short seen = events[at++].revents;
    if (client.answering()) {
      client.gone = (seen & (POLLERR | POLLHUP)) != 0;
      if (!client.gone) write(client);
    } else if (client.asked_ahead()) {
      obey(client);
    } else if (seen != 0) {
      read(client);
    }
    client.gone = client.gone || overdue(client);
  }
  clients_.remove_if([](const Client& client) { return client.gone; });
  if (events[1].revents != 0) take_newcomers();
  return true;
}

void ControlServer::take_newcomers() {
  for (;;) {
    const int fd = ::accept4(file_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Out of descriptors or memory: asking again at once would only burn the CPU.
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        deaf_until_ = Clock::now() + kAfterFailure;
      }
      return;
    }
    const Peer peer = peer_of(fd);
    if (!make_place(peer)) {
      ::close(fd);
      continue;
    }
    clients_.emplace_back(fd).peer = peer;
  }
}

bool ControlServer::make_place(const Peer& newcomer) {
  if (clients_.size() < limits_.clients) return true;
  const auto rank = [](const Client& c) { return std::pair(c.peer.may_change, c.heard); };
  const auto victim = std::ranges::min_element(clients_, {}, rank);
  if (victim == clients_.end() || (victim->peer.may_change && !newcomer.may_change)) return false;
  clients_.erase(victim);
  return true;
}

void ControlServer::read(Client& client) {
  std::array<char, 4096> part;
  const ssize_t got = ::recv(client.fd, part.data(), part.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    client.gone = true;
    return;
  }
  client.heard = Clock::now();
  if (client.in.empty()) client.began = client.heard;
  client.in.append(part.data(), static_cast<std::size_t>(got));
  obey(client);
}

// Begins to answer the first whole line of what has come.
void ControlServer::obey(Client& client) {
  const std::size_t end = client.in.find('\n');
  const bool whole = end != std::string::npos;
  if ((whole ? end : client.in.size()) > limits_.request) {
    client.answer = refusal("the request is too long", false);
    client.last = true;
  } else if (whole) {
    client.answer = requests_.answer(std::string_view(client.in).substr(0, end), client.peer);
    client.passed = client.answer->descriptors();
    client.in.erase(0, end + 1);
  } else {
    return;
  }
  client.began = client.heard = Clock::now();
  write(client);
}

void ControlServer::write(Client& client) {
  client.waits = false;
  if (client.sent == client.out.size() && client.answer != nullptr) {
    client.out.clear();
    client.sent = 0;
    const Answer::Step step = client.answer->next(client.out);
    if (step == Answer::Step::kEnd) client.answer.reset();
    client.waits = step == Answer::Step::kWait && client.out.empty();
    if (client.waits) {  // it is we who let it wait
      const auto now = Clock::now();
      client.began += now - client.heard;
      client.heard = now;
    }
  }
  if (client.sent < client.out.size()) {
    const std::string_view left = std::string_view(client.out).substr(client.sent);
    const ssize_t took = client.passed.empty()
                             ? ::send(client.fd, left.data(), left.size(), MSG_NOSIGNAL)
                             : send_with(client.fd, left, client.passed);
    if (took > 0) client.passed.clear();
    if (took < 0) {
      client.gone = errno != EAGAIN && errno != EINTR;
      return;
    }
    client.sent += static_cast<std::size_t>(took);
    client.heard = Clock::now();
  }
  if (client.sent < client.out.size() || client.answer != nullptr) return;
  client.out = {};
  client.sent = 0;
  client.gone = client.last;
  client.began = Clock::now();  // of a request that it has sent ahead
}

bool ControlServer::overdue(const Client& client) const {
  const auto now = Clock::now();
  if (client.answer != nullptr && client.answer->endless()) {
    return now - client.heard > limits_.paused;
  }
  if (client.answering()) {
    return now - client.heard > limits_.stalled || now - client.began > limits_.answer;
  }
  if (!client.in.empty()) return now - client.began > limits_.half_request;
  return now - client.heard > limits_.idle;
}

}  // namespace synproxy::control
