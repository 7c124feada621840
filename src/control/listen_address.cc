// SPDX-License-Identifier: BSD-3-Clause
#include "control/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "control/values.h"

namespace synproxy::control {
namespace {

constexpr int kWaiting = 64;  // connections that the kernel keeps until we take them

[[noreturn]] void wrong(const std::string& what) { throw std::invalid_argument(what); }

bool is_numeric(int family, const std::string& address) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(family, address.c_str(), bytes.data()) == 1;
}

std::string why_not(int error) {
  switch (error) {
    case EADDRINUSE:
      return "another program listens there; name another port";
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return "is no address of this machine; see `ip address`";
    case EACCES:
      return "no permission for this port; name one above 1023";
    default:
      return std::string("cannot listen there: ") + std::strerror(error) + "; name another";
  }
}

}  // namespace

ListenAddress parse_listen_address(std::string_view text) {
  if (text.empty()) wrong("is empty");
  ListenAddress where{.text = std::string(text), .address = "127.0.0.1", .port = 0, .ipv6 = false};
  const std::size_t colon = text.rfind(':');
  std::string_view port = text;
  if (colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    port = text.substr(colon + 1);
    where.ipv6 = address.starts_with('[');
    if (where.ipv6) {
      if (!address.ends_with(']')) wrong("has no port after the brackets");
      address = address.substr(1, address.size() - 2);
    } else if (address.find(':') != std::string_view::npos) {
      wrong("has an IPv6 address without brackets");
    }
    where.address = address;
    if (!is_numeric(where.ipv6 ? AF_INET6 : AF_INET, where.address)) {
      wrong("'" + where.address + "' is no " + (where.ipv6 ? "IPv6" : "IPv4") + " address");
    }
  } else if (!std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
    wrong("has no port");
  }
  where.port = static_cast<std::uint16_t>(parse_integer(port, 1, 65'535));
  return where;
}

namespace {

int bind_to(const ListenAddress& where, bool beside_another) {
  const int family = where.ipv6 ? AF_INET6 : AF_INET;
  sockaddr_in6 six{};
  sockaddr_in four{};
  six.sin6_family = AF_INET6;
  four.sin_family = AF_INET;
  six.sin6_port = four.sin_port = htons(where.port);
  ::inet_pton(family, where.address.c_str(),
              where.ipv6 ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr);
  const auto* address = where.ipv6 ? reinterpret_cast<const sockaddr*>(&six)
                                   : reinterpret_cast<const sockaddr*>(&four);
  const socklen_t size = where.ipv6 ? sizeof six : sizeof four;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  const int no = 0;
  // A restart may follow a stop at once. [::] means every IPv4 address too: the flag stands once.
  const bool listens =
      fd >= 0 && ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      (!where.ipv6 || ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0) &&
      (!beside_another || ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0) &&
      ::bind(fd, address, size) == 0 && (beside_another || begin_listening(fd));
  if (listens) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  const std::string refusal = "--metrics " + where.text + ": " + why_not(error);
  if (error == EADDRINUSE) throw AddressTaken(refusal);
  throw UsageError(refusal);
}

}  // namespace

bool begin_listening(int socket) { return ::listen(socket, kWaiting) == 0; }
int listen_at(const ListenAddress& where) { return bind_to(where, false); }
int take_place_at(const ListenAddress& where) { return bind_to(where, true); }

}  // namespace synproxy::control
