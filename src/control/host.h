// SPDX-License-Identifier: BSD-3-Clause
// Checks that the machine has what a configuration asks for, before anything is touched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"

namespace synproxy::control {

// Questions to the machine. None of them changes anything. A question that cannot be answered
// counts as "no".
class Host {
 public:
  struct Interface {
    unsigned index = 0;  // one device may have several names
    bool ethernet = false;
    bool loopback = false;
  };
  enum class Capability : std::uint8_t { kNetAdmin, kNetRaw, kSysAdmin, kBpf };

  virtual ~Host() = default;
  [[nodiscard]] virtual std::optional<Interface> interface(const std::string& name) const = 0;
  // The driver that a PCI device is bound to; empty: none. nullopt: there is no such device.
  [[nodiscard]] virtual std::optional<std::string> pci_driver(const std::string& address) const = 0;
  [[nodiscard]] virtual bool has(Capability capability) const = 0;
  [[nodiscard]] virtual bool is_root() const = 0;
  // Whether this process may use a device of vfio-pci without being root: its group's file is open
  // to it, and it may lock memory without a limit.
  [[nodiscard]] virtual bool may_use_vfio(const std::string& /*address*/) const { return false; }
  [[nodiscard]] virtual std::vector<unsigned> allowed_cpus()
      const = 0;  // of this process, ascending
};

// As capabilities(7) and the kernel's headers number it.
[[nodiscard]] unsigned number_of(Host::Capability capability);

class LinuxHost final : public Host {
 public:
  explicit LinuxHost(std::string sysfs = "/sys") : sysfs_(std::move(sysfs)) {}

  [[nodiscard]] std::optional<Interface> interface(const std::string& name) const override;
  [[nodiscard]] std::optional<std::string> pci_driver(const std::string& address) const override;
  [[nodiscard]] bool has(Capability capability) const override;
  [[nodiscard]] bool is_root() const override;
  [[nodiscard]] bool may_use_vfio(const std::string& address) const override;
  [[nodiscard]] std::vector<unsigned> allowed_cpus() const override;

 private:
  std::string sysfs_;
};

// Checks permissions first, then devices, then CPUs. Settles what only the machine knows: whether
// net_something is an interface, and the CPU of a proxy without --workers. Throws UsageError.
[[nodiscard]] Config check_host(Config config, const Host& host);

// Of these checks only that both ports are Linux interfaces for Ethernet, and not the same one.
// Throws UsageError.
void check_interfaces(const Config& config, const Host& host);

// What the proxy still needs when its ports are open: to serve them, to open an interface that came
// back, and to leave interfaces as they were. Each one once.
[[nodiscard]] std::vector<Host::Capability> kept_capabilities(const Config& config,
                                                              const Host& host);

}  // namespace synproxy::control
