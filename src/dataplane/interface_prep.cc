// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/interface_prep.h"

#include <linux/ethtool.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace synproxy::dataplane {
namespace {

std::string ipv6_switch(const std::string& name) {
  return "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6";
}

NetdevFacts facts_of(const Netdev& dev) {
  const auto facts = dev.facts();
  if (!facts) throw std::system_error(ENODEV, std::generic_category());
  return *facts;
}

}  // namespace

InterfacePrep::InterfacePrep(const Netdev& dev, Frames frames, const std::filesystem::path& records,
                             Addresses addresses)
    : InterfacePrep(dev, facts_of(dev), records) {
  std::uint32_t flags = ETH_FLAG_LRO;
  if (frames == Frames::kAsOnTheWire) {
    constexpr std::uint32_t kWhole = 1;
    switch_off(ETHTOOL_GGRO, ETHTOOL_SGRO, kWhole);
    switch_off(ETHTOOL_GTSO, ETHTOOL_STSO, kWhole);
    switch_off(ETHTOOL_GGSO, ETHTOOL_SGSO, kWhole);
    switch_off(ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, kWhole);
    switch_off(ETHTOOL_GRXCSUM, ETHTOOL_SRXCSUM, kWhole);
    flags |= ETH_FLAG_RXVLAN | ETH_FLAG_TXVLAN;
    // Packet sockets bring theirs along.
    if (!facts_of(dev).promiscuous) {
      remember({InterfaceSetting::kPromiscuous, 0});
      dev_.set_promiscuous(true);
    }
  }
  switch_off(ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, flags);
  if (dev_.has_address()) {
    if (addresses == Addresses::kStay) {
      warning_ =
          "the host itself has an address on this interface and will answer for it beside the "
          "proxy; remove it with 'ip address flush dev " +
          dev_.name() + "'";
    }
  } else {
    silence_ipv6();
  }
  if (facts_of(dev).up) return;
  remember({InterfaceSetting::kUp, 0});
  if (!dev_.set_up(true)) throw std::system_error(errno, std::generic_category());
}

// It changes nothing, so that whatever the other one throws is followed by the destructor.
InterfacePrep::InterfacePrep(const Netdev& dev, const NetdevFacts& facts,
                             const std::filesystem::path& records)
    : dev_(dev),
      index_(facts.index),
      record_(records, dev.name(), facts),
      changed_(record_.left_behind()) {}

InterfacePrep::~InterfacePrep() {
  claim();
  const auto facts = dev_.facts();
  if (facts && facts->index == index_) {
    for (auto s = changed_.rbegin(); s != changed_.rend(); ++s) restore(*s);
  }
  record_.remove();
}

void InterfacePrep::claim() {
  if (!record_.claim()) return;
  const std::vector<InterfaceSetting> ours = std::exchange(changed_, record_.left_behind());
  for (const InterfaceSetting& s : ours) remember(s);
}

// What was first is what it was before us.
void InterfacePrep::remember(const InterfaceSetting& setting) {
  const auto same = [&](const InterfaceSetting& s) { return s.what == setting.what; };
  if (std::ranges::any_of(changed_, same)) return;
  record_.add(setting);
  changed_.push_back(setting);
}

// If the driver lacks a setting or keeps it fixed, it stays as it is.
void InterfacePrep::switch_off(std::uint32_t get, std::uint32_t set, std::uint32_t mask) {
  const auto before = dev_.ethtool_get(get);
  if (!before || (*before & mask) == 0) return;
  remember({set, *before});
  dev_.ethtool_set(set, *before & ~mask);
}

void InterfacePrep::silence_ipv6() {
  int disabled = 1;
  std::ifstream(ipv6_switch(dev_.name())) >> disabled;
  if (disabled != 0) return;
  remember({InterfaceSetting::kDisableIpv6, 0});
  std::ofstream(ipv6_switch(dev_.name())) << 1;
}

void InterfacePrep::restore(const InterfaceSetting& setting) const {
  switch (setting.what) {
    case InterfaceSetting::kDisableIpv6:
      std::ofstream(ipv6_switch(dev_.name())) << setting.before;
      break;
    case InterfaceSetting::kUp:
      static_cast<void>(dev_.set_up(setting.before != 0));
      break;
    case InterfaceSetting::kPromiscuous:
      dev_.set_promiscuous(setting.before != 0);
      break;
    default:
      dev_.ethtool_set(setting.what, setting.before);
  }
}

}  // namespace synproxy::dataplane
