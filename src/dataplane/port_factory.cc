// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/port_factory.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ether.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/port_errors.h"
#include "base/xdp_limits.h"
#include "dataplane/eth_port.h"
#include "dataplane/netdev.h"
#include "dataplane/socket_port.h"
#include "dataplane/super_frame.h"
#include "dataplane/xdp_port.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kTags = 8;  // two of them
constexpr std::uint16_t kJumboMtu = 9000;
constexpr unsigned kMaxInterfaceMtu = 16'000;  // the ring's slots grow with it
// Of DPDK's net_af_xdp: its fill, receive, transmit and completion rings.
constexpr std::uint32_t kXdpFrames = 4 * 4096;
constexpr unsigned kXdpSmallMtu = 1500;
constexpr std::uint32_t kDeviceRing = 1024;

bool is_tap(const std::string& device) { return device.starts_with("net_tap"); }

// "t0" of "net_tap0,iface=t0" and of its arguments alone; empty: the kernel chooses a name.
std::string tap_interface(const std::string& text) {
  constexpr std::string_view kKey = "iface=";
  const std::size_t at = text.find(kKey);
  if (at == std::string::npos || (at != 0 && text[at - 1] != ',')) return "";
  const std::size_t begin = at + kKey.size();
  return text.substr(begin, text.find(',', begin) - begin);
}

PortPlan plan_interface(PortPlan plan, const std::string& who) {
  const Netdev dev(plan.name.device);
  const auto facts = dev.facts();
  if (!facts) throw UsageError(who + ": no such interface; 'ip link' lists them");
  if (facts->loopback || !facts->ethernet) {
    throw UsageError(who + ": not an Ethernet interface; name one that is");
  }
  if (!may_open_raw_sockets()) {
    throw UsageError(who +
                     ": no permission to open raw sockets; run as root, or with the "
                     "capabilities CAP_NET_RAW and CAP_NET_ADMIN");
  }
  const bool xdp = plan.name.kind == PortName::Kind::kXdp;
  const unsigned max_mtu = xdp ? kXdpMtu : kMaxInterfaceMtu;
  if (facts->mtu > max_mtu) {
    throw UsageError(who + ": its MTU of " + std::to_string(facts->mtu) + " is above the " +
                     std::to_string(max_mtu) + " that this kind of port carries; 'ip link set " +
                     plan.name.device + " mtu " + std::to_string(max_mtu) + "'" +
                     (xdp ? ", or leave out 'xdp:'" : ""));
  }
  plan.max_frame = facts->mtu + RTE_ETHER_HDR_LEN + kTags;
  plan.pool = {buffers_for(plan.workers, 0), room_for(plan.max_frame), 0};
  if (!xdp) {
    plan.sharing = Sharing::kCopies;
    plan.super_pool = {kSuperFrames, kSuperFrameBytes, kSuperFramePrivate,
                       cache_within(kSuperFrames, plan.workers)};
  } else if (const unsigned queues = dev.queues().all; queues > kXdpQueues) {
    const std::string most = std::to_string(kXdpQueues);
    throw UsageError(who + ": the interface has " + std::to_string(queues) + " queues, more than " +
                     most + "; 'ethtool -L " + plan.name.device + " combined " + most +
                     "', or leave out 'xdp:'");
  }
  return plan;
}

// Kernel drivers that stay in place: DPDK works beside them.
bool is_bifurcated(const std::string& driver) {
  return driver == "mlx5_core" || driver == "mlx4_core";
}

std::string pci_driver(const std::string& address) {
  const std::filesystem::path device = "/sys/bus/pci/devices/" + address;
  std::error_code error;
  const auto link = std::filesystem::read_symlink(device / "driver", error);
  return error ? std::string() : link.filename().string();
}

bool is_uio(const std::string& driver) {
  return driver == "uio_pci_generic" || driver == "igb_uio";
}

void check_pci(const std::string& address, const std::string& who) {
  if (!std::filesystem::exists("/sys/bus/pci/devices/" + address)) {
    throw UsageError(who + ": no such PCI device; 'dpdk-devbind.py --status-dev net' lists them");
  }
  const std::string driver = pci_driver(address);
  if (is_bifurcated(driver)) return;
  if (driver == "vfio-pci" || is_uio(driver)) return;
  throw UsageError(
      who + ": " +
      (driver.empty() ? "bound to no driver" : "bound to the kernel's driver " + driver) +
      "; bind it with 'modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci " + address + "'");
}

[[noreturn]] void refuse_device(const std::string& who, int error, const std::string& said) {
  // A driver that fails says why. Debian packages them apart from the program.
  const std::string why = said.empty()
                              ? std::generic_category().message(error) +
                                    "; is its driver installed (Debian: librte-meta-net), and are "
                                    "its arguments right?"
                              : said;
  throw UsageError(who + ": DPDK cannot open this device: " + why);
}

// The device of a running process keeps its address and its MTU; the driver would draw another one
// and set its own.
class TapAsItIs {
 public:
  // `arguments`: those that the user gave.
  explicit TapAsItIs(const std::string& arguments) {
    if (const std::string name = tap_interface(arguments); !name.empty()) dev_.emplace(name);
    if (dev_) before_ = dev_->facts();
  }
  [[nodiscard]] std::string arguments(const std::string& given) const {
    if (!before_ || given.find("mac=") != std::string::npos) return given;
    std::string mac = ",mac=";
    for (const std::uint8_t byte : before_->mac) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      mac += {kDigits[byte >> 4], kDigits[byte & 15U], ':'};
    }
    mac.pop_back();
    return given + mac;
  }
  void put_back() const {
    if (before_) dev_->set_mtu(before_->mtu);
  }

 private:
  std::optional<Netdev> dev_;
  std::optional<NetdevFacts> before_;
};

std::uint16_t probe_vdev(const std::string& device, const std::string& arguments, Eal& eal,
                         const std::string& who) {
  std::optional<TapAsItIs> tap;
  if (is_tap(device)) tap.emplace(arguments);
  eal.log().forget();
  int result = 0;
  {
    const QuietScope quiet(eal.log());
    result = rte_vdev_init(device.c_str(), (tap ? tap->arguments(arguments) : arguments).c_str());
  }
  if (result != 0) refuse_device(who, -result, eal.log().last_line());
  std::uint16_t port_id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &port_id) != 0) {
    rte_vdev_uninit(device.c_str());
    throw UsageError(who + ": this virtual device is no Ethernet port; name one that is");
  }
  if (tap) tap->put_back();
  return port_id;
}

std::unique_ptr<Port> make_vdev(const std::string& text, EthPortRequest request, rte_mempool* pool,
                                Eal& eal) {
  const std::string device = text.substr(0, text.find(','));
  const std::string arguments = text.size() > device.size() ? text.substr(device.size() + 1) : "";
  // It may exist already: the user can make it with an EAL argument.
  std::uint16_t there = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &there) == 0) {
    request.probe = [there] { return there; };
  } else {
    request.vdev = device;
    request.probe = [device, arguments, &eal, who = request.who] {
      return probe_vdev(device, arguments, eal, who);
    };
  }
  return std::make_unique<EthPort>(std::move(request), pool);
}

std::unique_ptr<Port> make_pci(const std::string& address, EthPortRequest request,
                               rte_mempool* pool, Eal& eal) {
  request.physical = true;
  // The MTU of a shared interface belongs to the host.
  request.mtu = is_bifurcated(pci_driver(address)) ? std::uint16_t{0} : kJumboMtu;
  request.probe = [address, &eal, who = request.who] {
    std::uint16_t port_id = 0;
    if (rte_eth_dev_get_port_by_name(address.c_str(), &port_id) == 0) return port_id;
    // EAL tried it at its start; a second try shows why it failed.
    eal.log().forget();
    int result = 0;
    {
      const QuietScope quiet(eal.log());
      result = rte_dev_probe(address.c_str());
    }
    if (rte_eth_dev_get_port_by_name(address.c_str(), &port_id) != 0) {
      refuse_device(who, result == 0 ? ENODEV : -result, eal.log().last_line());
    }
    return port_id;
  };
  return std::make_unique<EthPort>(std::move(request), pool);
}

}  // namespace

PortPlan plan_port(const PortName& name, PortId id, unsigned workers) {
  PortPlan plan{.name = name, .id = id, .workers = workers};
  const std::string who = flag_and_value(name, id);
  switch (name.kind) {
    case PortName::Kind::kRawSocket:
    case PortName::Kind::kXdp:
    case PortName::Kind::kHost:
      return plan_interface(std::move(plan), who);
    case PortName::Kind::kPci:
      check_pci(name.device, who);
      plan.needs_hugepages = is_uio(pci_driver(name.device));
      break;
    case PortName::Kind::kVdev:
      if (is_tap(name.device) && !tap_interface(name.device).empty()) {
        plan.sharing = Sharing::kParts;
      }
      break;
  }
  plan.max_frame = kJumboMtu + RTE_ETHER_HDR_LEN + kTags;
  // Per worker: a receive ring here, and the transmit rings of both ports, which may hold our
  // buffers. SYN queues may add as many receive rings again.
  const bool may_sort_syns = name.kind == PortName::Kind::kPci && id == PortId::kClient;
  plan.pool = {buffers_for(workers, (may_sort_syns ? 4 : 3) * kDeviceRing * workers),
               room_for(plan.max_frame), 0};
  if (name.kind == PortName::Kind::kVdev && name.device.starts_with("net_af_xdp")) {
    plan.pool = {buffers_for(workers, kXdpFrames), room_for(kXdpSmallMtu), 0};
  }
  return plan;
}

std::unique_ptr<Port> make_port(const PortPlan& plan, RssWord rss_word, const ProtectSet& protect,
                                std::vector<Descriptor> files, rte_mempool* pool,
                                rte_mempool* super_pool, Eal& eal) {
  const std::string who = flag_and_value(plan.name, plan.id);
  EthPortRequest request;
  request.typed = plan.name.text;
  request.who = who;
  request.id = plan.id;
  request.workers = plan.workers;
  request.rss_word = rss_word;
  request.protect.assign(protect.rules().begin(), protect.rules().end());
  request.log = &eal.log();
  const auto addresses =
      plan.moves_addresses ? InterfacePrep::Addresses::kMove : InterfacePrep::Addresses::kStay;
  try {
    switch (plan.name.kind) {
      case PortName::Kind::kRawSocket:
      case PortName::Kind::kHost:
        return std::make_unique<SocketPort>(plan.name.text, plan.name.device, plan.id, plan.workers,
                                            protect.rules(), pool, super_pool, plan.max_frame,
                                            addresses);
      case PortName::Kind::kXdp:
        return std::make_unique<XdpPort>(XdpPortRequest{.typed = plan.name.text,
                                                        .who = who,
                                                        .interface = plan.name.device,
                                                        .workers = plan.workers,
                                                        .max_frame = plan.max_frame,
                                                        .addresses = addresses},
                                         std::move(files), pool);
      case PortName::Kind::kPci:
        return make_pci(plan.name.device, std::move(request), pool, eal);
      case PortName::Kind::kVdev:
        return make_vdev(plan.name.device, std::move(request), pool, eal);
    }
  } catch (const std::system_error& e) {
    if (e.code().value() == EPERM || e.code().value() == EACCES) {
      throw UsageError(who + ": no permission (" + e.what() + "); run as root");
    }
    throw RuntimeFailure(who + ": the interface cannot be opened: " + e.what());
  }
  throw RuntimeFailure(who + ": unknown kind of port");
}

}  // namespace synproxy::dataplane
