// SPDX-License-Identifier: BSD-3-Clause
// Makes a Linux interface fit to be a wire, and what it was again afterwards.
//
// Offloads that merge, cut or complete packets below a raw socket are switched off (GRO, LRO, TSO,
// GSO, checksums, VLAN stripping and insertion). An interface that has no address of its own also
// loses IPv6 for the time: else a router advertisement that merely passes through would give this
// host an address and a route. An interface with an address is used by the host: nothing is taken
// away, one line says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/netdev.h"

namespace synproxy::dataplane {

class InterfacePrep {
 public:
  // `dev` outlives it. Brings the interface up. Throws std::system_error when that is refused.
  explicit InterfacePrep(const Netdev& dev);
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
