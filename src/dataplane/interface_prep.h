// SPDX-License-Identifier: BSD-3-Clause
// Makes a Linux interface fit to be a wire, and restores it afterwards.
//
// It switches off LRO, which forgets where the segments began. Where every frame has to be as on
// the wire, it also switches off all other offloads that merge, cut or complete packets (GRO, TSO,
// GSO, checksums, VLAN stripping and insertion). If the interface has no address, it also switches
// IPv6 off for the time: otherwise a router advertisement that merely passes would give this host
// an address and a route. If the interface has an address, the host uses it: addresses and IPv6
// stay, and one line warns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/netdev.h"

namespace synproxy::dataplane {

class InterfacePrep {
 public:
  enum class Frames : std::uint8_t { kAsTheyCome, kAsOnTheWire };
  // `dev` outlives it. Brings the interface up. Throws std::system_error if that is refused.
  InterfacePrep(const Netdev& dev, Frames frames);
  ~InterfacePrep();  // restores, unless the interface has gone
  InterfacePrep(const InterfacePrep&) = delete;
  InterfacePrep& operator=(const InterfacePrep&) = delete;

  [[nodiscard]] const std::string& warning() const { return warning_; }  // may be empty

 private:
  struct Setting {
    std::uint32_t command;  // ETHTOOL_S...
    std::uint32_t before;
  };
  void switch_off(std::uint32_t get, std::uint32_t set, std::uint32_t mask);
  void silence_ipv6();

  const Netdev& dev_;
  int index_ = 0;
  std::vector<Setting> changed_;
  bool brought_up_ = false;
  bool ipv6_silenced_ = false;
  std::string warning_;
};

}  // namespace synproxy::dataplane
