// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/veth_pair.h"

#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "dataplane/proxy_fixture.h"

namespace synproxy::tests {

bool own_network_namespace() {
  static const bool own = [] {
    if (::unshare(CLONE_NEWNET) != 0) return false;
    // Otherwise the kernel's own router solicitations would mix with the frames that are counted.
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << 1;
    return std::system("ip link set lo up") == 0;
  }();
  return own;
}

bool ip(const std::string& arguments) { return std::system(("ip " + arguments).c_str()) == 0; }

namespace {

// /sys shows the network namespace in which it was mounted, so ask the kernel by name instead.
bool is_operational(const std::string& interface) {
  return ip("-o link show dev " + interface + " | grep -q 'state UP'");
}

}  // namespace

VethPair::VethPair(std::string near, std::string far, unsigned mtu)
    : near_(std::move(near)), far_(std::move(far)), mtu_(mtu) {
  make();
}

VethPair::~VethPair() { remove(); }

void VethPair::make() const {
  const std::string mtu = " mtu " + std::to_string(mtu_);
  if (!ip("link add " + near_ + mtu + " type veth peer name " + far_ + mtu) ||
      !ip("link set " + near_ + " up") || !ip("link set " + far_ + " up")) {
    throw std::runtime_error("no veth pair");
  }
  // On a busy machine the kernel's link watch runs late. Until then an end that is up drops
  // everything that it should send.
  if (!eventually([&] { return is_operational(near_) && is_operational(far_); })) {
    throw std::runtime_error("a veth pair whose ends do not come up");
  }
}

void VethPair::remove() const {
  static_cast<void>(std::system(("ip link del " + near_ + " 2>/dev/null").c_str()));
}

}  // namespace synproxy::tests
