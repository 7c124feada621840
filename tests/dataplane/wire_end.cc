// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire_end.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace synproxy::tests {
namespace {

constexpr int kLongEnough = 5000;  // milliseconds; only a failing test waits for it
constexpr int kMoment = 100;

int packet_socket(unsigned index, std::uint16_t protocol) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "socket");
  const int one = 1;
  const int buffer = 16 << 20;
  ::setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one);
  ::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    ::close(fd);
    throw std::system_error(error, std::generic_category(), "bind");
  }
  return fd;
}

}  // namespace

WireEnd::WireEnd(const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  fd_ = packet_socket(index, ETH_P_ALL);
  offload_fd_ = packet_socket(index, 0);
  const int one = 1;
  ::setsockopt(offload_fd_, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one);
}

WireEnd::~WireEnd() {
  ::close(fd_);
  ::close(offload_fd_);
}

bool WireEnd::write(int fd, std::span<const std::uint8_t> head,
                    std::span<const std::uint8_t> frame) const {
  std::array<iovec, 2> parts{iovec{const_cast<std::uint8_t*>(head.data()), head.size()},
                             iovec{const_cast<std::uint8_t*>(frame.data()), frame.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return ::sendmsg(fd, &message, 0) == static_cast<ssize_t>(head.size() + frame.size());
}

bool WireEnd::send(std::span<const std::uint8_t> frame) { return write(fd_, {}, frame); }

bool WireEnd::send_unsummed(std::span<const std::uint8_t> frame, std::uint16_t start,
                            std::uint16_t offset) {
  // virtio_net_hdr: flags NEEDS_CSUM, no segmentation.
  std::array<std::uint8_t, 10> head{1};
  std::memcpy(&head[6], &start, sizeof start);
  std::memcpy(&head[8], &offset, sizeof offset);
  return write(offload_fd_, head, frame);
}

bool WireEnd::send_super(std::span<const std::uint8_t> frame, bool ipv6, std::uint16_t size,
                         std::uint16_t start) {
  // virtio_net_hdr: flags NEEDS_CSUM, TCPV4 or TCPV6.
  constexpr std::uint16_t kTcpChecksum = 16;
  std::array<std::uint8_t, 10> head{1, static_cast<std::uint8_t>(ipv6 ? 4 : 1)};
  const auto headers = static_cast<std::uint16_t>(start + (frame[start + 12] >> 4) * 4);
  std::memcpy(&head[2], &headers, sizeof headers);
  std::memcpy(&head[4], &size, sizeof size);
  std::memcpy(&head[6], &start, sizeof start);
  std::memcpy(&head[8], &kTcpChecksum, sizeof kTcpChecksum);
  return write(offload_fd_, head, frame);
}

std::optional<Frame> WireEnd::receive() { return receive_within(kLongEnough); }
bool WireEnd::stays_silent() { return !receive_within(kMoment); }

std::optional<Frame> WireEnd::receive_within(int milliseconds) {
  pollfd event{fd_, POLLIN, 0};
  if (::poll(&event, 1, milliseconds) != 1) return {};
  Frame frame(1 << 17);
  iovec part{frame.data(), frame.size()};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = ::recvmsg(fd_, &message, 0);
  // An interface that was down in between reports this error once.
  if (length < 0 && errno == ENETDOWN) return receive_within(milliseconds);
  if (length < 0) return {};
  frame.resize(static_cast<std::size_t>(length));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata aux{};
    std::memcpy(&aux, CMSG_DATA(c), sizeof aux);
    if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0) continue;
    const std::array<std::uint8_t, 4> tag{static_cast<std::uint8_t>(aux.tp_vlan_tpid >> 8),
                                          static_cast<std::uint8_t>(aux.tp_vlan_tpid),
                                          static_cast<std::uint8_t>(aux.tp_vlan_tci >> 8),
                                          static_cast<std::uint8_t>(aux.tp_vlan_tci)};
    frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  }
  return frame;
}

}  // namespace synproxy::tests
