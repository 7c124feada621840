// SPDX-License-Identifier: BSD-3-Clause
// One line of the log when cookies begin for a service, with the reason, and one when they end
// (--mode adaptive). Workers decide apart; a service has cookies as long as any worker gives it
// some.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "synproxy/policy/activation_list.h"

namespace synproxy::control {

class ActivationLines {
 public:
  // To be called about once a second. `active`: of all workers, a service as often as it has
  // workers. `tuning`: of all, adaptive if the mode of any of them is. Returns lines to log. A
  // change of the mode has a line of its own, so it brings none.
  [[nodiscard]] std::vector<std::string> look(const std::vector<ActiveService>& active,
                                              const EngineTuning& tuning,
                                              std::span<const NamedService> services = {});

 private:
  std::vector<ActiveService> known_;
};

}  // namespace synproxy::control
