// SPDX-License-Identifier: BSD-3-Clause
// A client of an HTTP server on this machine, as slow as a test wants it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace synproxy::control::test {

inline sockaddr_in local(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

inline std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  static_cast<void>(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size));
  return ntohs(address.sin_port);
}

inline std::string address_of(int fd) { return "127.0.0.1:" + std::to_string(port_of(fd)); }

// One that nobody listens at: the kernel chose it a moment ago.
inline std::string free_address() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in any = local(0);
  static_cast<void>(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any));
  std::string text = address_of(fd);
  ::close(fd);
  return text;
}

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    const sockaddr_in to = local(port);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(std::string_view text) const {
    static_cast<void>(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
  }
  // Until the server closes.
  [[nodiscard]] std::string rest() const {
    std::string all;
    std::array<char, 4096> part;
    for (ssize_t n = 0; (n = ::recv(fd_, part.data(), part.size(), 0)) > 0;) {
      all.append(part.data(), static_cast<std::size_t>(n));
    }
    return all;
  }

 private:
  int fd_;
  bool connected_ = false;
};

inline std::string ask(std::uint16_t port, std::string_view first_line) {
  const Client client(port);
  client.send(std::string(first_line) + "\r\nHost: here\r\nConnection: close\r\n\r\n");
  return client.rest();
}

}  // namespace synproxy::control::test
