// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/netdev.h"

#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace synproxy::dataplane {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(&request.ifr_name[0], IFNAMSIZ - 1);
  return request;
}

}  // namespace

Netdev::Netdev(std::string name)
    : name_(std::move(name)), fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "socket");
}

Netdev::~Netdev() { ::close(fd_); }

std::optional<NetdevFacts> Netdev::facts() const {
  if (name_.size() >= IFNAMSIZ) return {};
  NetdevFacts facts;
  ifreq request = request_for(name_);
  if (::ioctl(fd_, SIOCGIFINDEX, &request) != 0) return {};
  facts.index = request.ifr_ifindex;
  if (::ioctl(fd_, SIOCGIFMTU, &request) != 0) return {};
  facts.mtu = static_cast<unsigned>(request.ifr_mtu);
  if (::ioctl(fd_, SIOCGIFFLAGS, &request) != 0) return {};
  const auto flags = static_cast<unsigned>(request.ifr_flags);
  facts.up = (flags & IFF_UP) != 0;
  facts.running = (flags & IFF_RUNNING) != 0;
  facts.promiscuous = (flags & IFF_PROMISC) != 0;
  facts.loopback = (flags & IFF_LOOPBACK) != 0;
  if (::ioctl(fd_, SIOCGIFHWADDR, &request) != 0) return {};
  facts.ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
  std::memcpy(facts.mac.data(), &request.ifr_hwaddr.sa_data[0], facts.mac.size());
  return facts;
}

QueueCounts Netdev::queues() const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request = request_for(name_);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (::ioctl(fd_, SIOCETHTOOL, &request) != 0) return {};
  const unsigned both = channels.combined_count;
  return {std::max(1U, std::max(channels.rx_count, channels.tx_count) + both),
          std::max(1U, channels.tx_count + both)};
}

bool Netdev::has_address() const {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  bool found = false;
  for (const ifaddrs* a = list; a != nullptr && !found; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || name_ != a->ifa_name) continue;
    if (a->ifa_addr->sa_family == AF_INET) found = true;
    if (a->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, a->ifa_addr, sizeof v6);
      found = !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
    }
  }
  ::freeifaddrs(list);
  return found;
}

bool Netdev::set_up(bool up) const { return set_flag(IFF_UP, up); }

void Netdev::set_promiscuous(bool on) const { static_cast<void>(set_flag(IFF_PROMISC, on)); }

void Netdev::set_mtu(unsigned mtu) const {
  ifreq request = request_for(name_);
  request.ifr_mtu = static_cast<int>(mtu);
  static_cast<void>(::ioctl(fd_, SIOCSIFMTU, &request));
}

bool Netdev::set_flag(int flag, bool on) const {
  ifreq request = request_for(name_);
  if (::ioctl(fd_, SIOCGIFFLAGS, &request) != 0) return false;
  const int flags = request.ifr_flags;
  request.ifr_flags = static_cast<short>(on ? flags | flag : flags & ~flag);
  return ::ioctl(fd_, SIOCSIFFLAGS, &request) == 0;
}

std::optional<std::uint32_t> Netdev::ethtool_get(std::uint32_t command) const {
  ethtool_value value{command, 0};
  ifreq request = request_for(name_);
  request.ifr_data = reinterpret_cast<char*>(&value);
  if (::ioctl(fd_, SIOCETHTOOL, &request) != 0) return {};
  return value.data;
}

bool Netdev::ethtool_set(std::uint32_t command, std::uint32_t data) const {
  ethtool_value value{command, data};
  ifreq request = request_for(name_);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ::ioctl(fd_, SIOCETHTOOL, &request) == 0;
}

bool may_open_raw_sockets() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, &data[0]) != 0) return false;
  const std::uint32_t needed = 1U << CAP_NET_RAW | 1U << CAP_NET_ADMIN;
  return (data[0].effective & needed) == needed;
}

}  // namespace synproxy::dataplane
