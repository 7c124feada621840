// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/interface_prep.h"

#include <linux/ethtool.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace synproxy::dataplane {
namespace {

std::string ipv6_switch(const std::string& name) {
  return "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6";
}

}  // namespace

InterfacePrep::InterfacePrep(const Netdev& dev, Frames frames) : dev_(dev) {
  const auto facts = dev_.facts();
  if (!facts) throw std::system_error(ENODEV, std::generic_category());
  index_ = facts->index;
  std::uint32_t flags = ETH_FLAG_LRO;
  if (frames == Frames::kAsOnTheWire) {
    constexpr std::uint32_t kWhole = 1;
    switch_off(ETHTOOL_GGRO, ETHTOOL_SGRO, kWhole);
    switch_off(ETHTOOL_GTSO, ETHTOOL_STSO, kWhole);
    switch_off(ETHTOOL_GGSO, ETHTOOL_SGSO, kWhole);
    switch_off(ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, kWhole);
    switch_off(ETHTOOL_GRXCSUM, ETHTOOL_SRXCSUM, kWhole);
    flags |= ETH_FLAG_RXVLAN | ETH_FLAG_TXVLAN;
  }
  switch_off(ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, flags);
  if (dev_.has_address()) {
    warning_ =
        "the host itself has an address on this interface and will answer for it beside the "
        "proxy; remove it with 'ip address flush dev " +
        dev_.name() + "'";
  } else {
    silence_ipv6();
  }
  if (facts->up) return;
  if (!dev_.set_up(true)) throw std::system_error(errno, std::generic_category());
  brought_up_ = true;
}

InterfacePrep::~InterfacePrep() {
  const auto facts = dev_.facts();
  if (!facts || facts->index != index_) return;
  if (brought_up_) static_cast<void>(dev_.set_up(false));
  for (auto s = changed_.rbegin(); s != changed_.rend(); ++s)
    dev_.ethtool_set(s->command, s->before);
  if (ipv6_silenced_) std::ofstream(ipv6_switch(dev_.name())) << 0;
}

// If the driver lacks a setting or keeps it fixed, it stays as it is.
void InterfacePrep::switch_off(std::uint32_t get, std::uint32_t set, std::uint32_t mask) {
  const auto before = dev_.ethtool_get(get);
  if (!before || (*before & mask) == 0) return;
  if (dev_.ethtool_set(set, *before & ~mask)) changed_.push_back({set, *before});
}

void InterfacePrep::silence_ipv6() {
  int disabled = 1;
  std::ifstream(ipv6_switch(dev_.name())) >> disabled;
  if (disabled != 0) return;
  std::ofstream out(ipv6_switch(dev_.name()));
  out << 1;
  out.flush();
  ipv6_silenced_ = out.good();
}

}  // namespace synproxy::dataplane
