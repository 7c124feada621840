// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy check` looks at on the CPUs of the workers and in memory.
#include <algorithm>
#include <array>
#include <charconv>

#include "control/check.h"
#include "control/values.h"

namespace synproxy::control {
namespace {

using State = Finding::State;
using Kind = PortName::Kind;

// CPUs as sysfs lists them: "2-3,6". Empty where it lists none.
std::vector<unsigned> cpus_of(const std::optional<std::string>& list) {
  if (!list || list->empty()) return {};
  try {
    return parse_cpus(*list);
  } catch (const std::exception&) {
    return {};
  }
}

bool holds(const std::vector<unsigned>& cpus, unsigned cpu) {
  return std::ranges::find(cpus, cpu) != cpus.end();
}

std::string device_directory(const PortName& port) {
  return port.kind == Kind::kPci ? "/sys/bus/pci/devices/" + port.device
                                 : "/sys/class/net/" + port.device + "/device";
}

// A device that says -1, or nothing, is near every CPU.
void look_at_node(const Config& config, const PortName& port, const Machine& machine,
                  Findings& out) {
  const auto node = machine.line(device_directory(port) + "/numa_node");
  if (!node || node->starts_with('-')) return;
  const auto list = machine.line("/sys/devices/system/node/node" + *node + "/cpulist");
  const auto near = cpus_of(list);
  if (near.empty()) return;
  const bool all =
      std::ranges::all_of(config.workers, [&](unsigned cpu) { return holds(near, cpu); });
  out.push_back({"numa", port.text, all ? State::kRight : State::kPoor,
                 "on node " + *node + (all ? ", as the workers are" : ", and a worker is not"),
                 all ? "" : "choose --workers from " + *list});
}

void look_at_isolation(const Config& config, const Machine& machine, Findings& out) {
  const auto isolated = cpus_of(machine.line("/sys/devices/system/cpu/isolated"));
  const bool all =
      std::ranges::all_of(config.workers, [&](unsigned cpu) { return holds(isolated, cpu); });
  const std::string cpus = cpus_text(config.workers);
  out.push_back({"isolation", "", all ? State::kRight : State::kPoor,
                 all ? "the CPUs of the workers (" + cpus + ") are isolated"
                     : "the scheduler gives the CPUs of the workers (" + cpus + ") to others, too",
                 all ? "" : "boot with `isolcpus=" + cpus + " nohz_full=" + cpus + "`"});
}

void look_at_governor(const Config& config, const Machine& machine, Findings& out) {
  for (const unsigned cpu : config.workers) {
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/";
    const auto governor = machine.line(base + "scaling_governor");
    if (!governor || *governor == "performance") continue;
    out.push_back({"governor", "", State::kPoor, *governor + " on CPU " + std::to_string(cpu),
                   "`echo performance >" + base + "scaling_governor`"});
    return;
  }
  out.push_back({"governor", "", State::kRight, "performance, or no frequency to govern", ""});
}

void look_at_clock(const Machine& machine, Findings& out) {
  const std::string base = "/sys/devices/system/clocksource/clocksource0/";
  const auto clock = machine.line(base + "current_clocksource");
  if (!clock) return;
  constexpr std::array<std::string_view, 4> kFast = {
      "tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"};
  const bool fast = std::ranges::find(kFast, *clock) != kFast.end();
  const bool has_tsc =
      machine.line(base + "available_clocksource").value_or("").find("tsc") != std::string::npos;
  out.push_back({"clock", "", fast ? State::kRight : State::kPoor,
                 *clock + (fast ? "" : ": each look at the time is a system call"),
                 fast      ? ""
                 : has_tsc ? "`echo tsc >" + base + "current_clocksource`"
                           : "boot with `tsc=reliable`"});
}

void look_at_spreading(const Config& config, Findings& out) {
  if (config.workers.size() < 2) {
    out.push_back({"rss", "", State::kRight, "one worker needs none", ""});
    return;
  }
  const auto spreads = [](const PortName& port) { return port.kind == Kind::kPci; };
  const bool pci = spreads(config.client_port) && spreads(config.server_port);
  out.push_back({"rss", "", State::kRight,
                 pci ? "set up at the start; `synproxy stat --json` says what the device took "
                       "(ports.*.rss_owner)"
                     : "not on these ports: the workers hand frames over to each other",
                 ""});
}

// Bytes in free hugepages of all sizes.
std::uint64_t free_hugepages(const Machine& machine) {
  const std::string base = "/sys/kernel/mm/hugepages";
  std::uint64_t bytes = 0;
  for (const std::string& name : machine.names(base)) {  // hugepages-2048kB
    const auto dash = name.find('-');
    if (dash == std::string::npos) continue;
    std::uint64_t kilobytes = 0;
    std::uint64_t pages = 0;
    std::string path = base;
    path.append("/").append(name).append("/free_hugepages");
    const std::string count = machine.line(path).value_or("0");
    std::from_chars(name.data() + dash + 1, name.data() + name.size(), kilobytes);
    std::from_chars(count.data(), count.data() + count.size(), pages);
    bytes += kilobytes * 1024 * pages;
  }
  return bytes;
}

void look_at_hugepages(const Config& config, const Host& host, const Machine& machine,
                       Findings& out) {
  const std::uint64_t bytes = free_hugepages(machine);
  bool needed = false;
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    needed = needed || (port->kind == Kind::kPci &&
                        !machine.target("/sys/bus/pci/devices/" + port->device + "/iommu_group") &&
                        host.pci_driver(port->device));
  }
  constexpr std::uint64_t kPlenty = 256ULL << 20;
  const bool plenty = bytes >= kPlenty;
  out.push_back({"hugepages", "",
                 plenty   ? State::kRight
                 : needed ? State::kWrong
                          : State::kPoor,
                 std::to_string(bytes >> 20) + " MB free" +
                     (plenty   ? ""
                      : needed ? ", and a device without IOMMU needs them"
                               : ": packet buffers may be in ordinary memory"),
                 plenty ? "" : "`sysctl vm.nr_hugepages=512`"});
}

void look_at_limits(const Config& config, const Host& host, const Machine& machine, Findings& out) {
  const Machine::Limits limits = machine.limits();
  bool locks = false;
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    locks = locks || port->kind == Kind::kPci || port->kind == Kind::kXdp;
  }
  const bool memory = !locks || host.is_root() || limits.locked_memory == ~0ULL;
  out.push_back({"memlock", "", memory ? State::kRight : State::kWrong,
                 !locks                          ? "these ports lock no memory"
                 : limits.locked_memory == ~0ULL ? "unlimited"
                 : memory                        ? "root is not bound by it"
                          : std::to_string(limits.locked_memory >> 10) + " KB",
                 memory ? "" : "`ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit"});
  // Three for each worker and port, those of DPDK, of the log and of those who ask.
  const std::uint64_t files = 128 + 8 * std::max<std::size_t>(1, config.workers.size());
  const bool enough = limits.open_files >= files;
  out.push_back({"nofile", "", enough ? State::kRight : State::kWrong,
                 limits.open_files == ~0ULL ? "unlimited" : std::to_string(limits.open_files),
                 enough ? "" : "`ulimit -n " + std::to_string(files) + "`"});
}

}  // namespace

void check_cpus(const Config& config, const Host& host, const Machine& machine, Findings& out) {
  const auto allowed = host.allowed_cpus();
  Config settled = config;
  if (settled.workers.empty() && !allowed.empty()) settled.workers = {allowed.front()};
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    if (port->kind != Kind::kVdev && port->kind != Kind::kHost)
      look_at_node(settled, *port, machine, out);
  }
  look_at_isolation(settled, machine, out);
  look_at_governor(settled, machine, out);
  look_at_clock(machine, out);
  look_at_spreading(settled, out);
}

void check_memory(const Config& config, const Host& host, const Machine& machine, Findings& out) {
  look_at_hugepages(config, host, machine, out);
  look_at_limits(config, host, machine, out);
}

}  // namespace synproxy::control
