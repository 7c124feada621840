// SPDX-License-Identifier: BSD-3-Clause
#include "control/machine.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "control/run_program.h"

namespace synproxy::control {
namespace {

// Asks the kernel about an interface. sysfs shows the namespace in which it was mounted.
bool ask(const std::string& interface, unsigned long what, ifreq& request) {
  if (interface.size() >= IFNAMSIZ) return false;
  std::memcpy(request.ifr_name, interface.c_str(), interface.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool known = ::ioctl(fd, what, &request) == 0;
  ::close(fd);
  return known;
}

template <typename Question>
bool ask_ethtool(const std::string& interface, Question& question) {
  ifreq request{};
  request.ifr_data = reinterpret_cast<char*>(&question);
  return ask(interface, SIOCETHTOOL, request);
}

std::uint64_t limit_of(__rlimit_resource resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? ~0ULL : limit.rlim_cur;
}

}  // namespace

std::optional<std::string> LinuxMachine::line(const std::string& path) const {
  std::ifstream in(root_ + path);
  std::string text;
  if (!std::getline(in, text)) return std::nullopt;
  return text;
}

std::optional<std::string> LinuxMachine::target(const std::string& path) const {
  std::error_code error;
  const auto to = std::filesystem::read_symlink(root_ + path, error);
  if (error) return std::nullopt;
  return to.filename().string();
}

std::vector<std::string> LinuxMachine::names(const std::string& path) const {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + path, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::optional<std::uint32_t> LinuxMachine::mtu(const std::string& interface) const {
  ifreq request{};
  if (!ask(interface, SIOCGIFMTU, request)) return std::nullopt;
  return static_cast<std::uint32_t>(request.ifr_mtu);
}

std::optional<Machine::Ring> LinuxMachine::receive_ring(const std::string& interface) const {
  ethtool_ringparam ring{};
  ring.cmd = ETHTOOL_GRINGPARAM;
  if (!ask_ethtool(interface, ring)) return std::nullopt;
  return Ring{ring.rx_pending, ring.rx_max_pending};
}

std::optional<std::uint32_t> LinuxMachine::queues(const std::string& interface) const {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (!ask_ethtool(interface, channels)) return std::nullopt;
  return channels.combined_count + std::max(channels.rx_count, channels.tx_count);
}

std::vector<std::string> LinuxMachine::addresses(const std::string& interface) const {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* a = list; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || interface != a->ifa_name) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (a->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, a->ifa_addr, sizeof v4);
      ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    } else if (a->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, a->ifa_addr, sizeof v6);
      if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) continue;
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    } else {
      continue;
    }
    found.emplace_back(text.data());
  }
  ::freeifaddrs(list);
  return found;
}

Machine::Limits LinuxMachine::limits() const {
  return {limit_of(RLIMIT_MEMLOCK), limit_of(RLIMIT_NOFILE)};
}

std::string LinuxMachine::firewall() const {
  const Ran ran = run_program({"nft", "list", "ruleset"});
  return ran.status == 0 ? ran.text : std::string();
}

}  // namespace synproxy::control
