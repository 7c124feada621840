// SPDX-License-Identifier: BSD-3-Clause
#include "control/host.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/errors.h"
#include "control/port_name.h"

namespace synproxy::control {
namespace {

struct FakeHost : Host {
  std::map<std::string, Interface> interfaces = {
      {"eth1", {.index = 1, .ethernet = true, .loopback = false}},
      {"eth2", {.index = 2, .ethernet = true, .loopback = false}},
      {"uplink", {.index = 1, .ethernet = true, .loopback = false}},  // another name of eth1
      {"lo", {.index = 3, .ethernet = false, .loopback = true}},
      {"wg0", {.index = 4, .ethernet = false, .loopback = false}},
      {"net_lan", {.index = 5, .ethernet = true, .loopback = false}},
  };
  std::map<std::string, std::string> pci = {{"0000:3b:00.0", "vfio-pci"},
                                            {"0000:3b:00.1", "ixgbe"},
                                            {"0000:3c:00.0", ""},
                                            {"0000:3d:00.0", "mlx5_core"}};
  std::set<Capability> capabilities = {Capability::kNetAdmin, Capability::kNetRaw,
                                       Capability::kSysAdmin};
  bool root = true;
  std::set<std::string> vfio;
  std::vector<unsigned> cpus = {2, 3, 5};

  [[nodiscard]] std::optional<Interface> interface(const std::string& name) const override {
    const auto it = interfaces.find(name);
    return it == interfaces.end() ? std::nullopt : std::optional(it->second);
  }
  [[nodiscard]] std::optional<std::string> pci_driver(const std::string& address) const override {
    const auto it = pci.find(address);
    return it == pci.end() ? std::nullopt : std::optional(it->second);
  }
  [[nodiscard]] bool has(Capability capability) const override {
    return capabilities.contains(capability);
  }
  [[nodiscard]] bool is_root() const override { return root; }
  [[nodiscard]] bool may_use_vfio(const std::string& address) const override {
    return vfio.contains(address);
  }
  [[nodiscard]] std::vector<unsigned> allowed_cpus() const override { return cpus; }
};

Config config_of(const std::string& client, const std::string& server) {
  Config config;
  config.client_port = parse_port_name(client);
  config.server_port = parse_port_name(server);
  return config;
}

std::string refusal(const Config& config, const Host& host) {
  try {
    (void)check_host(config, host);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(CheckHost, DevicesHaveToBeThereAndUsable) {
  struct Row {
    const char* client;
    const char* server;
    const char* message;
  };
  const Row rows[] = {
      {"eth1", "eth2", "accepted"},
      {"xdp:eth1", "net_tap0,iface=t", "accepted"},
      {"0000:3b:00.0", "3d:00.0", "accepted"},
      {"eth9", "eth2",
       "--client-port eth9: there is no network interface 'eth9' here; see `ip link` for the "
       "names"},
      {"eth1", "xdp:eth9",
       "--server-port xdp:eth9: there is no network interface 'eth9' here; see `ip link` for the "
       "names"},
      {"lo", "eth2",
       "--client-port lo: is the loopback interface; name an Ethernet interface, see `ip link`"},
      {"eth1", "wg0",
       "--server-port wg0: carries no Ethernet frames; name an Ethernet interface, see `ip link`"},
      {"uplink", "eth1",
       "--server-port eth1: is the device of --client-port uplink; name two different ones"},
      {"eth1", "host", "accepted"},
      {"xdp:eth1", "host", "accepted"},
      {"host", "eth1",
       "--client-port host: this host is where the servers are; give it as --server-port"},
      {"3b:00.0", "host",
       "--server-port host: the kernel has no interface of --client-port 3b:00.0, whose addresses "
       "could move; leave the NIC to its kernel driver and name its interface, or xdp: and the "
       "interface"},
      {"0000:ff:00.0", "eth2",
       "--client-port 0000:ff:00.0: there is no PCI device at 0000:ff:00.0; see `dpdk-devbind.py "
       "--status-dev net` for the NICs"},
      {"eth1", "3b:00.1",
       "--server-port 3b:00.1: is bound to the kernel driver ixgbe; bind it for DPDK with "
       "`dpdk-devbind.py --bind=vfio-pci 0000:3b:00.1`"},
      {"0000:3c:00.0", "eth2",
       "--client-port 0000:3c:00.0: is bound to no driver; bind it for DPDK with `dpdk-devbind.py "
       "--bind=vfio-pci 0000:3c:00.0`"},
  };
  const FakeHost host;
  for (const Row& row : rows) {
    EXPECT_EQ(refusal(config_of(row.client, row.server), host), row.message);
  }
}

TEST(CheckHost, AnInterfaceMayBeCalledLikeAVirtualDevice) {
  const Config config = check_host(config_of("net_lan", "net_tap0"), FakeHost());
  EXPECT_EQ(config.client_port.kind, PortName::Kind::kRawSocket);
  EXPECT_EQ(config.server_port.kind, PortName::Kind::kVdev);
}

TEST(CheckHost, MissingPermissionIsSaidBeforeAnythingElse) {
  FakeHost host;
  host.root = false;
  host.capabilities = {};
  EXPECT_EQ(refusal(config_of("eth9", "eth2"), host),
            "--client-port eth9: no permission to open this device, CAP_NET_RAW and CAP_NET_ADMIN "
            "missing; run as root");
  EXPECT_EQ(refusal(config_of("net_null0", "xdp:eth2"), host),
            "--server-port xdp:eth2: no permission to open this device, CAP_NET_RAW and "
            "CAP_NET_ADMIN and CAP_BPF missing; run as root");
  host.capabilities = {Host::Capability::kNetRaw, Host::Capability::kNetAdmin,
                       Host::Capability::kBpf};
  EXPECT_EQ(refusal(config_of("net_null0", "xdp:eth2"), host), "accepted");
  EXPECT_EQ(refusal(config_of("net_memif0", "net_null0"), host), "accepted");
  host.capabilities = {Host::Capability::kNetRaw};
  host.root = true;
  EXPECT_EQ(refusal(config_of("eth1", "eth2"), host),
            "--client-port eth1: no permission to open this device, CAP_NET_ADMIN missing; run "
            "where root keeps its capabilities");
}

TEST(CheckHost, WorkersRunWhereTheProgramMay) {
  const FakeHost host;
  Config config = config_of("eth1", "eth2");
  EXPECT_EQ(check_host(config, host).workers, (std::vector<unsigned>{2})) << "the first allowed";
  config.workers = {5, 2};
  EXPECT_EQ(check_host(config, host).workers, (std::vector<unsigned>{5, 2}));
  config.workers = {2, 3, 4, 5};
  EXPECT_EQ(refusal(config, host),
            "--workers 2-5: CPU 4 is not one that this program may run on; choose from 2-3,5");
}

TEST(LinuxHost, SeesTheLoopbackInterface) {
  const auto lo = LinuxHost().interface("lo");
  ASSERT_TRUE(lo.has_value());
  EXPECT_EQ(lo->index, ::if_nametoindex("lo"));
  EXPECT_TRUE(lo->loopback);
  EXPECT_FALSE(lo->ethernet);
  EXPECT_FALSE(LinuxHost().interface("no-such-dev").has_value());
  EXPECT_FALSE(LinuxHost().interface("").has_value());
}

TEST(LinuxHost, ReadsDriversFromSysfs) {
  namespace fs = std::filesystem;
  const fs::path root =
      fs::temp_directory_path() / ("synproxy-host-test-" + std::to_string(::getpid()));
  const fs::path devices = root / "bus/pci/devices";
  fs::create_directories(devices / "0000:3b:00.0");
  fs::create_directories(devices / "0000:3b:00.1");
  fs::create_directory_symlink("../../drivers/vfio-pci", devices / "0000:3b:00.0/driver");
  const LinuxHost host(root.string());
  EXPECT_EQ(host.pci_driver("0000:3b:00.0"), "vfio-pci");
  EXPECT_EQ(host.pci_driver("0000:3b:00.1"), "");
  EXPECT_FALSE(host.pci_driver("0000:3b:00.2").has_value());
  fs::remove_all(root);
}

TEST(CheckHost, OnlyAMoveIsConfirmed) {
  Config config = config_of("eth1", "eth2");
  config.confirm = 60;
  EXPECT_EQ(refusal(config, FakeHost()),
            "--confirm: is for --server-port host, where the proxy moves addresses; leave it out");
  config.server_port = parse_port_name("host");
  EXPECT_EQ(refusal(config, FakeHost()), "accepted");
}

TEST(LinuxHost, MayRunSomewhere) { EXPECT_FALSE(LinuxHost().allowed_cpus().empty()); }

TEST(KeptCapabilities, AreThoseThatAPortNeedsOnceItIsOpen) {
  using C = Host::Capability;
  const std::vector<C> net = {C::kNetRaw, C::kNetAdmin};
  struct Row {
    const char* client;
    const char* server;
    std::vector<C> kept;
  };
  const Row rows[] = {{"eth1", "eth2", net},
                      {"xdp:eth1", "eth2", {C::kNetAdmin, C::kNetRaw}},
                      {"xdp:eth1", "xdp:eth2", {C::kNetAdmin}},
                      {"0000:3b:00.0", "3c:00.0", {}},
                      {"0000:3b:00.0", "eth2", net},
                      {"0000:3d:00.0", "3b:00.0", net},  // mlx5
                      {"net_tap0", "0000:3b:00.0", {C::kNetAdmin}},
                      {"eth1", "host", net},
                      {"net_memif0,role=server", "net_ring0", {}}};
  for (const Row& row : rows) {
    EXPECT_EQ(kept_capabilities(config_of(row.client, row.server), FakeHost()), row.kept)
        << row.client << ' ' << row.server;
  }
}

TEST(CheckHost, ADeviceOfVfioNeedsNoRootWhereItsFileIsOpen) {
  FakeHost host;
  host.root = false;
  host.capabilities.clear();
  const Config config = config_of("0000:3b:00.0", "net_ring0");
  EXPECT_EQ(refusal(config, host),
            "--client-port 0000:3b:00.0: no permission to open this device, CAP_SYS_ADMIN missing; "
            "run as root");
  host.vfio = {"0000:3b:00.0"};
  EXPECT_EQ(refusal(config, host), "accepted");
}

}  // namespace
}  // namespace synproxy::control
