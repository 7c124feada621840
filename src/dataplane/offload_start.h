// SPDX-License-Identifier: BSD-3-Clause
// Whether --flow-offload is possible with these ports, and its start.
#pragma once

#include <memory>
#include <string>

#include "base/config.h"
#include "dataplane/flow_offload.h"
#include "dataplane/port_set.h"

namespace synproxy::dataplane {

struct StartedOffload {
  // Outlives the ports, even if nothing is carried: a filter of theirs may be its already.
  std::unique_ptr<FlowOffload> programs;
  std::string note;  // why nothing is carried, where it was to be if possible; may be empty

  [[nodiscard]] bool on() const { return programs != nullptr && programs->on(); }
};

// Throws UsageError if it is wanted by all means and cannot be.
[[nodiscard]] StartedOffload start_offload(FlowOffloading wanted, const PerPort<PortPlan>& plans,
                                           const PortSet& ports);

}  // namespace synproxy::dataplane
