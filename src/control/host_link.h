// SPDX-License-Identifier: BSD-3-Clause
// Links for --server-port host: what an interface is, a pair of interfaces of our own, and the
// block that keeps frames away from the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/rtnetlink.h"

namespace synproxy::control {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "veth", "vlan"; empty: a device
  unsigned mtu = 0;
  bool up = false;
  int master = 0;  // the bridge or bond that it belongs to; 0: none
  int lower = 0;   // the interface of this namespace that it stands on; 0: none
  std::array<std::uint8_t, 6> mac{};

  [[nodiscard]] std::string mac_text() const;
  // Interfaces of other kinds name the one on the far side there.
  [[nodiscard]] bool stands_on(const Link& other) const {
    return lower == other.index && kind != "veth";
  }
};

[[nodiscard]] std::vector<Link> links(Rtnetlink& net);
[[nodiscard]] std::optional<Link> link_called(Rtnetlink& net, const std::string& name);

// A veth pair, both ends down. Throws RuntimeFailure.
void make_pair(Rtnetlink& net, const Link& like, const std::string& end, const std::string& wire);
void set_up(Rtnetlink& net, int index);  // throws RuntimeFailure
void remove_link(Rtnetlink& net, int index);

// From here on the kernel's stack sees no frame that the interface receives; packet sockets do. A
// filter of two instructions at the ingress of the interface (tc, cls_bpf). Throws RuntimeFailure.
void block_ingress(Rtnetlink& net, int index);
// True if there was one of ours. The qdisc stays where others have filters there.
bool unblock_ingress(Rtnetlink& net, int index);

// A setting of one interface under /proc/sys/net: ("ipv6", "conf", "eth0", "disable_ipv6").
[[nodiscard]] std::optional<std::string> interface_setting(const std::string& family,
                                                           const std::string& name,
                                                           const std::string& key);
void set_interface(const std::string& family, const std::string& name, const std::string& key,
                   const std::string& value);
// All settings of one interface's IP and neighbours, but for those of duplicate detection and of
// made-up addresses.
void copy_settings(const std::string& from, const std::string& to);

}  // namespace synproxy::control
