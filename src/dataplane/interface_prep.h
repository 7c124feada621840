// SPDX-License-Identifier: BSD-3-Clause
// Makes a Linux interface fit to be a wire, and restores it afterwards.
//
// It switches off LRO, which forgets where the segments began. Where every frame has to be as on
// the wire, it also switches off all other offloads that merge, cut or complete packets (GRO, TSO,
// GSO, checksums, VLAN stripping and insertion) and makes it promiscuous. If the interface has no
// address, it also switches IPv6 off for the time: otherwise a router advertisement that merely
// passes would give this host an address and a route. If the interface has an address, the host
// uses it: addresses and IPv6 stay, and one line warns. What a proxy that was killed has left
// behind is restored too (interface_record.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "dataplane/interface_record.h"
#include "dataplane/netdev.h"

namespace synproxy::dataplane {

class InterfacePrep {
 public:
  enum class Frames : std::uint8_t { kAsTheyCome, kAsOnTheWire };
  // kMove: the host's addresses are about to leave the interface, so that nobody need be warned.
  enum class Addresses : std::uint8_t { kStay, kMove };
  // `dev` outlives it. Brings the interface up. Throws std::system_error if that is refused.
  InterfacePrep(const Netdev& dev, Frames frames,
                const std::filesystem::path& records = record_directory(),
                Addresses addresses = Addresses::kStay);
  ~InterfacePrep();  // restores, unless the interface has gone
  InterfacePrep(const InterfacePrep&) = delete;
  InterfacePrep& operator=(const InterfacePrep&) = delete;

  // If another process had the interface when this one was made: takes over what that one has left
  // to be restored, once it has ended. To be called now and then.
  void claim();

  [[nodiscard]] const std::string& warning() const { return warning_; }  // may be empty

 private:
  InterfacePrep(const Netdev& dev, const NetdevFacts& facts, const std::filesystem::path& records);
  // Call before the change.
  void remember(const InterfaceSetting& setting);
  void switch_off(std::uint32_t get, std::uint32_t set, std::uint32_t mask);
  void silence_ipv6();
  void restore(const InterfaceSetting& setting) const;

  const Netdev& dev_;
  int index_;
  InterfaceRecord record_;
  std::vector<InterfaceSetting> changed_;
  std::string warning_;
};

}  // namespace synproxy::dataplane
