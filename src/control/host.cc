// SPDX-License-Identifier: BSD-3-Clause
#include "control/host.h"
#include "base/errors.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace synproxy::control {
namespace {

using Kind = PortName::Kind;
using Capability = Host::Capability;

// Kernel drivers that DPDK can use a NIC through. Any other driver has to give the NIC up first.
constexpr std::array<std::string_view, 5> kUsableDrivers = {"vfio-pci", "uio_pci_generic",
                                                            "igb_uio", "mlx4_core", "mlx5_core"};

struct NamedPort {
  std::string_view flag;
  PortName& port;

  [[nodiscard]] std::string where() const { return std::string(flag) + " " + port.text; }
};

void settle_kind(PortName& port, const Host& host) {
  const bool bare_vdev = port.kind == Kind::kVdev && port.device.find(',') == std::string::npos;
  if (bare_vdev && host.interface(port.device)) {
    port.kind = Kind::kRawSocket;
  }
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::ranges::any_of(prefixes, [&](auto prefix) { return text.starts_with(prefix); });
}

std::vector<Capability> needed(const PortName& port) {
  switch (port.kind) {
    case Kind::kRawSocket:
    case Kind::kHost:  // and the addresses go back at the end
      return {Capability::kNetRaw, Capability::kNetAdmin};
    case Kind::kXdp:
      return {Capability::kNetRaw, Capability::kNetAdmin, Capability::kBpf};
    case Kind::kVdev:
      if (starts_with_any(port.device, {"net_tap", "net_virtio_user", "virtio_user"})) {
        return {Capability::kNetAdmin};
      }
      if (starts_with_any(port.device, {"net_pcap", "net_af_packet", "net_af_xdp"})) {
        return {Capability::kNetRaw, Capability::kNetAdmin};
      }
      return {};
    case Kind::kPci:
      return {Capability::kSysAdmin};
  }
  return {};
}

std::string_view name_of(Capability capability) {
  switch (capability) {
    case Capability::kNetAdmin:
      return "CAP_NET_ADMIN";
    case Capability::kNetRaw:
      return "CAP_NET_RAW";
    case Capability::kSysAdmin:
      return "CAP_SYS_ADMIN";
    case Capability::kBpf:
      return "CAP_BPF";
  }
  return "";
}

void check_permission(const NamedPort& named, const Host& host) {
  if (named.port.kind == Kind::kPci && host.may_use_vfio(named.port.device)) return;
  std::string missing;
  for (const Capability capability : needed(named.port)) {
    // CAP_BPF is a part of it.
    const bool whole = capability == Capability::kBpf && host.has(Capability::kSysAdmin);
    if (!whole && !host.has(capability)) {
      missing += (missing.empty() ? "" : " and ") + std::string(name_of(capability));
    }
  }
  if (!missing.empty()) {
    throw UsageError(named.where() + ": no permission to open this device, " + missing +
                     " missing; " +
                     (host.is_root() ? "run where root keeps its capabilities" : "run as root"));
  }
}

void check_interface(const NamedPort& named, const Host& host) {
  const auto found = host.interface(named.port.device);
  if (!found) {
    throw UsageError(named.where() + ": there is no network interface '" + named.port.device +
                     "' here; see `ip link` for the names");
  }
  if (found->loopback || !found->ethernet) {
    throw UsageError(
        named.where() + ": " +
        (found->loopback ? "is the loopback interface" : "carries no Ethernet frames") +
        "; name an Ethernet interface, see `ip link`");
  }
}

void check_pci(const NamedPort& named, const Host& host) {
  const std::string& address = named.port.device;
  const auto driver = host.pci_driver(address);
  if (!driver) {
    throw UsageError(named.where() + ": there is no PCI device at " + address +
                     "; see `dpdk-devbind.py --status-dev net` for the NICs");
  }
  if (std::ranges::find(kUsableDrivers, *driver) == kUsableDrivers.end()) {
    throw UsageError(named.where() + ": is bound to " +
                     (driver->empty() ? "no driver" : "the kernel driver " + *driver) +
                     "; bind it for DPDK with `dpdk-devbind.py --bind=vfio-pci " + address + "`");
  }
}

// The kernel has to have an interface whose addresses can move.
void check_host_port(const NamedPort& named, const NamedPort& client) {
  if (named.flag == "--client-port") {
    throw UsageError(
        "--client-port host: this host is where the servers are; give it as "
        "--server-port");
  }
  if (client.port.is_interface()) return;
  throw UsageError("--server-port host: the kernel has no interface of " + client.where() +
                   ", whose addresses could move; leave the NIC to its kernel driver and name its "
                   "interface, or xdp: and the interface");
}

void check_device(const NamedPort& named, const NamedPort& other, const Host& host) {
  switch (named.port.kind) {
    case Kind::kRawSocket:
    case Kind::kXdp:
      return check_interface(named, host);
    case Kind::kPci:
      return check_pci(named, host);
    case Kind::kVdev:
      return;  // its DPDK driver reports what is wrong
    case Kind::kHost:
      return check_host_port(named, other);
  }
}

// Compares indexes, because one interface may have several names.
void check_distinct(const NamedPort& a, const NamedPort& b, const Host& host) {
  const auto ia = a.port.kind == Kind::kPci ? std::nullopt : host.interface(a.port.device);
  const auto ib = b.port.kind == Kind::kPci ? std::nullopt : host.interface(b.port.device);
  if (ia && ib && ia->index == ib->index) {
    throw UsageError(b.where() + ": is the device of " + a.where() + "; name two different ones");
  }
}

std::string list(const std::vector<unsigned>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) {
      ++last;
    }
    text += (text.empty() ? "" : ",") + std::to_string(cpus[i]);
    if (last > i) {
      text += "-" + std::to_string(cpus[last]);
    }
    i = last + 1;
  }
  return text;
}

void settle_workers(Config& config, const Host& host) {
  const auto allowed = host.allowed_cpus();
  for (const unsigned cpu : config.workers) {
    if (!std::ranges::binary_search(allowed, cpu)) {
      throw UsageError("--workers " + list(config.workers) + ": CPU " + std::to_string(cpu) +
                       " is not one that this program may run on; choose from " + list(allowed));
    }
  }
  if (config.workers.empty() && !allowed.empty()) {
    config.workers = {allowed.front()};
  }
}

// Of mlx4 and mlx5: their kernel driver asks for it whenever rules and queues change.
bool is_bifurcated(const PortName& port, const Host& host) {
  return port.kind == Kind::kPci && host.pci_driver(port.device).value_or("").starts_with("mlx");
}

}  // namespace

std::vector<Capability> kept_capabilities(const Config& config, const Host& host) {
  std::vector<Capability> kept;
  const auto keep = [&](Capability capability) {
    if (std::ranges::find(kept, capability) == kept.end()) kept.push_back(capability);
  };
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    for (const Capability capability : needed(*port)) {
      // These open devices, load programs and make their sockets; a port that is open needs them
      // no more.
      const bool opens = capability == Capability::kSysAdmin || port->kind == Kind::kXdp;
      if (!opens || capability == Capability::kNetAdmin) keep(capability);
    }
    if (!is_bifurcated(*port, host)) continue;
    keep(Capability::kNetRaw);
    keep(Capability::kNetAdmin);
  }
  return kept;
}

void check_interfaces(const Config& config, const Host& host) {
  PortName client = config.client_port;
  PortName server = config.server_port;
  const NamedPort a{.flag = "--client-port", .port = client};
  const NamedPort b{.flag = "--server-port", .port = server};
  check_interface(a, host);
  check_interface(b, host);
  check_distinct(a, b, host);
}

Config check_host(Config config, const Host& host) {
  settle_kind(config.client_port, host);
  settle_kind(config.server_port, host);
  const NamedPort client{.flag = "--client-port", .port = config.client_port};
  const NamedPort server{.flag = "--server-port", .port = config.server_port};
  check_permission(client, host);
  check_permission(server, host);
  check_device(client, server, host);
  check_device(server, client, host);
  check_distinct(client, server, host);
  if (config.confirm != 0 && server.port.kind != Kind::kHost) {
    throw UsageError(
        "--confirm: is for --server-port host, where the proxy moves addresses; leave it out");
  }
  settle_workers(config, host);
  return config;
}

}  // namespace synproxy::control
