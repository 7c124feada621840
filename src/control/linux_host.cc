// SPDX-License-Identifier: BSD-3-Clause
#include <linux/capability.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "control/host.h"

namespace synproxy::control {

unsigned number_of(Host::Capability capability) {
  switch (capability) {
    case Host::Capability::kNetAdmin:
      return CAP_NET_ADMIN;
    case Host::Capability::kNetRaw:
      return CAP_NET_RAW;
    case Host::Capability::kSysAdmin:
      return CAP_SYS_ADMIN;
    case Host::Capability::kBpf:
      return CAP_BPF;
  }
  return CAP_LAST_CAP;
}

// Uses ioctl, because sysfs shows the network namespace in which it was mounted.
std::optional<Host::Interface> LinuxHost::interface(const std::string& name) const {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) {
    return std::nullopt;
  }
  Interface found{.index = index, .ethernet = false, .loopback = false};
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return found;
  }
  ifreq request{};
  if (::if_indextoname(index, request.ifr_name) != nullptr &&
      ::ioctl(fd, SIOCGIFHWADDR, &request) == 0) {
    found.ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
    found.loopback = request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
  }
  ::close(fd);
  return found;
}

std::optional<std::string> LinuxHost::pci_driver(const std::string& address) const {
  const std::filesystem::path device = sysfs_ + "/bus/pci/devices/" + address;
  std::error_code error;
  if (!std::filesystem::exists(device, error)) {
    return std::nullopt;
  }
  const auto driver = std::filesystem::read_symlink(device / "driver", error);
  return error ? std::string() : driver.filename().string();
}

bool LinuxHost::has(Capability capability) const {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) {
    return false;
  }
  const unsigned bit = number_of(capability);
  return (data[bit / 32].effective >> (bit % 32) & 1U) != 0;
}

bool LinuxHost::may_use_vfio(const std::string& address) const {
  std::error_code error;
  const auto group =
      std::filesystem::read_symlink(sysfs_ + "/bus/pci/devices/" + address + "/iommu_group", error);
  if (error || pci_driver(address) != "vfio-pci") return false;
  rlimit locked{};
  return ::access(("/dev/vfio/" + group.filename().string()).c_str(), R_OK | W_OK) == 0 &&
         ::getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur == RLIM_INFINITY;
}

bool LinuxHost::is_root() const { return ::geteuid() == 0; }

std::vector<unsigned> LinuxHost::allowed_cpus() const {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<unsigned> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) {
        cpus.push_back(cpu);
      }
    }
  }
  return cpus;
}

}  // namespace synproxy::control
