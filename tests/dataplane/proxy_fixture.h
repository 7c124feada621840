// SPDX-License-Identifier: BSD-3-Clause
// A dataplane with the stub engine, and the EAL that all dataplanes of a test program share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/eal.h"

namespace synproxy::tests {

// EAL cannot start twice in a process: the first call starts it, and it runs until the program
// ends.
[[nodiscard]] dataplane::Eal& shared_eal();

[[nodiscard]] PortName raw(const std::string& interface);
[[nodiscard]] PortName vdev(const std::string& text);

class ProxyUnderTest {
 public:
  // Started. `workers` threads, all on the CPUs that this process may use.
  ProxyUnderTest(PortName client, PortName server, unsigned workers = 1,
                 std::uint32_t idle_sleep_us = LoopTuning().idle_sleep_us);

  dataplane::Dataplane* operator->() { return dataplane_.get(); }

  // Sum over the workers.
  [[nodiscard]] std::uint64_t sum(
      const std::function<std::uint64_t(const dataplane::IoCounters&)>& f) const;

 private:
  ProtectSet protect_;
  KeyRing keys_;
  std::unique_ptr<dataplane::Dataplane> dataplane_;
};

// Waits until the condition holds, or so long that it never will. The test asserts the result.
[[nodiscard]] bool eventually(const std::function<bool()>& condition);

}  // namespace synproxy::tests
