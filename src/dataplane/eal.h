// SPDX-License-Identifier: BSD-3-Clause
// DPDK's environment: starts once per process, and prints nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_capture.h"
#include "dataplane/memory_plan.h"
#include "dataplane/name_lock.h"

namespace synproxy::dataplane {

struct EalRequest {
  std::string name = "synproxy";         // --file-prefix
  std::vector<std::string> pci_devices;  // empty: the PCI bus is left alone
  bool devices_later = false;            // EAL must not probe these at its start
  std::vector<PoolPlan> pools;           // to be made later: memory is sized for them
  std::vector<std::string> extra;        // the user's own arguments, last
  bool verbose = false;
  // A device that reaches memory by physical addresses, as an error text names it. Empty: none.
  std::string needs_hugepages;
};

class Eal {
 public:
  // The environment that runs already, or a new one. It ends with its last owner, and EAL cannot
  // start again in the same process. Throws UsageError or RuntimeFailure.
  [[nodiscard]] static std::shared_ptr<Eal> acquire(const EalRequest& request);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  [[nodiscard]] LogCapture& log() { return log_; }
  [[nodiscard]] const std::string& memory_note() const { return memory_note_; }
  // Other processes of DPDK can map its memory, as dpdk-dumpcap does.
  [[nodiscard]] bool shares_memory() const { return shares_memory_; }
  // Of this name alone, for sockets.
  [[nodiscard]] const std::filesystem::path& directory() const { return name_.directory(); }
  void renamed(const std::string& name) { name_.renamed(name); }

 private:
  explicit Eal(const EalRequest& request);
  [[nodiscard]] std::vector<std::string> arguments(const EalRequest& request);

  NameLock name_;
  LogCapture log_;
  std::string memory_note_;
  bool shares_memory_ = false;
};

}  // namespace synproxy::dataplane
