// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy check` looks at on each port.
#include <algorithm>
#include <array>
#include <sstream>

#include "base/xdp_limits.h"
#include "control/check.h"

namespace synproxy::control {
namespace {

using State = Finding::State;
using Kind = PortName::Kind;

void look_at_pci(const PortName& port, const Host& host, const Machine& machine, Findings& out) {
  const std::string base = "/sys/bus/pci/devices/" + port.device;
  const std::string driver = host.pci_driver(port.device).value_or("");
  const bool bound = driver == "vfio-pci" || driver == "uio_pci_generic" || driver == "igb_uio" ||
                     driver.starts_with("mlx");
  out.push_back({"driver", port.text, bound ? State::kRight : State::kWrong,
                 driver.empty() ? "none" : driver,
                 bound ? "" : "`dpdk-devbind.py --bind=vfio-pci " + port.device + "`"});
  const auto unsafe = machine.line("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
  if (const auto group = machine.target(base + "/iommu_group")) {
    out.push_back({"iommu", port.text, State::kRight, "group " + *group, ""});
  } else if (driver != "vfio-pci" || unsafe.value_or("N") == "Y") {
    out.push_back({"iommu", port.text, State::kPoor, "none: the device may write anywhere",
                   "boot with `intel_iommu=on iommu=pt` and switch VT-d or AMD-Vi on in the "
                   "firmware"});
  } else {
    out.push_back({"iommu", port.text, State::kWrong, "none, and vfio-pci needs one",
                   "boot with `intel_iommu=on iommu=pt`, or `echo 1 "
                   ">/sys/module/vfio/parameters/enable_unsafe_noiommu_mode`"});
  }
}

// The name of each table of a ruleset whose text names the interface: "netdev filter".
std::vector<std::string> tables_with(const std::string& ruleset, const std::string& interface) {
  std::vector<std::string> tables;
  std::istringstream in(ruleset);
  std::string table;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("table ")) table = line.substr(6, line.rfind(" {") - 6);
    const bool names_it = line.find('"' + interface + '"') != std::string::npos ||
                          line.find("device " + interface + " ") != std::string::npos;
    if (names_it && (tables.empty() || tables.back() != table)) tables.push_back(table);
  }
  return tables;
}

void look_at_firewall(const PortName& port, const std::string& ruleset, Findings& out) {
  const auto tables = tables_with(ruleset, port.device);
  for (const std::string& table : tables) {
    out.push_back({"firewall", port.text, State::kPoor,
                   "nftables' table " + table +
                       " names this interface, and may drop what the "
                       "proxy sends",
                   "`nft delete table " + table + "` if it is not meant"});
  }
  if (tables.empty()) out.push_back({"firewall", port.text, State::kRight, "none names it", ""});
}

void look_at_owner(const PortName& port, const Machine& machine, bool moves, Findings& out) {
  const std::string& name = port.device;
  if (const auto master = machine.target("/sys/class/net/" + name + "/master")) {
    out.push_back({"master", port.text, State::kWrong,
                   "belongs to " + *master + ", which forwards its frames too",
                   "`ip link set " + name + " nomaster`"});
  }
  const auto addresses = machine.addresses(name);
  std::string all;
  for (const std::string& address : addresses) all += (all.empty() ? "" : ", ") + address;
  if (moves) return;  // check_start() says whether they can
  out.push_back({"address", port.text, all.empty() ? State::kRight : State::kPoor,
                 all.empty() ? "none" : all + ": this host answers beside the proxy",
                 all.empty() ? "" : "`ip address flush dev " + name + "`"});
}

void look_at_queues(const PortName& port, const Machine& machine, Findings& out) {
  const std::string& name = port.device;
  if (const auto ring = machine.receive_ring(name); ring && ring->most != 0) {
    const bool full = ring->frames >= std::min(ring->most, 1024U);
    out.push_back({"ring", port.text, full ? State::kRight : State::kPoor,
                   std::to_string(ring->frames) + " frames of " + std::to_string(ring->most),
                   full ? "" : "`ethtool -G " + name + " rx " + std::to_string(ring->most) + "`"});
  }
  if (port.kind != Kind::kXdp) {
    // LRO, and on AF_XDP all of them.
    out.push_back(
        {"offloads", port.text, State::kRight, "those that harm are off while the proxy runs", ""});
    return;
  }
  out.push_back({"offloads", port.text, State::kRight,
                 "off while the proxy runs; a virtual interface at the other end has to complete "
                 "its checksums itself (`ethtool -K DEV tx off` there)",
                 ""});
  const std::uint32_t queues = machine.queues(name).value_or(1);
  const std::string most = std::to_string(kXdpQueues);
  const bool served = queues <= kXdpQueues;
  out.push_back({"queues", port.text, served ? State::kRight : State::kWrong,
                 std::to_string(queues) + (served ? "" : ", and AF_XDP serves " + most),
                 served ? "" : "`ethtool -L " + name + " combined " + most + "`"});
}

void look_at_interface(const PortName& port, const Machine& machine, const std::string& ruleset,
                       bool moves, Findings& out) {
  const std::string& name = port.device;
  const auto carrier = machine.line("/sys/class/net/" + name + "/carrier");  // while it is up
  if (carrier) {
    out.push_back({"link", port.text, *carrier == "1" ? State::kRight : State::kPoor,
                   *carrier == "1" ? "up" : "no carrier",
                   *carrier == "1" ? "" : "look at the cable and at the other end"});
  }
  const std::uint32_t mtu = machine.mtu(name).value_or(0);
  if (port.kind == Kind::kXdp && mtu > kXdpMtu) {
    out.push_back({"mtu", port.text, State::kWrong,
                   std::to_string(mtu) + ", and AF_XDP takes " + std::to_string(kXdpMtu),
                   "`ip link set " + name + " mtu 1500`"});
  }
  look_at_owner(port, machine, moves, out);
  look_at_queues(port, machine, out);
  look_at_firewall(port, ruleset, out);
}

void compare_mtus(const PortName& a, const PortName& b, const Machine& machine, Findings& out) {
  const auto first = machine.mtu(a.device);
  const auto second = machine.mtu(b.device);
  if (!first || !second) return;
  if (*first == *second) {
    out.push_back({"mtu", "", State::kRight, std::to_string(*first) + " on both ports", ""});
    return;
  }
  const bool first_is_less = *first < *second;
  const PortName& less = first_is_less ? a : b;
  out.push_back(
      {"mtu", less.text, State::kWrong,
       std::to_string(std::min(*first, *second)) + ", and the other port has " +
           std::to_string(std::max(*first, *second)) + ": longer frames are lost",
       "`ip link set " + less.device + " mtu " + std::to_string(std::max(*first, *second)) + "`"});
}

}  // namespace

void check_ports(const Config& config, const Host& host, const Machine& machine, Findings& out) {
  const std::string ruleset = machine.firewall();
  bool both = true;
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    if (port->kind == Kind::kPci && host.pci_driver(port->device)) {
      look_at_pci(*port, host, machine, out);
    }
    if (port->is_interface() && host.interface(port->device)) {
      look_at_interface(*port, machine, ruleset, config.server_port.kind == Kind::kHost, out);
    } else {
      both = false;
    }
  }
  if (both) compare_mtus(config.client_port, config.server_port, machine, out);
}

}  // namespace synproxy::control
