// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/offload_start.h"

#include <cerrno>
#include <system_error>

#include "base/errors.h"
#include "base/port_errors.h"
#include "dataplane/topology.h"

namespace synproxy::dataplane {

StartedOffload start_offload(FlowOffloading wanted, const PerPort<PortPlan>& plans,
                             const PortSet& ports) {
  StartedOffload started;
  if (wanted == FlowOffloading::kOff) return started;
  const auto cannot = [&](const std::string& why) {
    if (wanted == FlowOffloading::kOn) throw UsageError("--flow-offload on: " + why);
    started.note = "--flow-offload: " + why;
  };
  for (const PortId id : kAllPorts) {
    if (ports[id].offloads()) continue;
    if (wanted == FlowOffloading::kAuto) return started;
    cannot("the kernel carries connections between two Linux interfaces only, and " +
           flag_and_value(plans[id].name, id) + " is none that it drives");
  }
  try {
    started.programs = std::make_unique<FlowOffload>();
    for (const Role sender : {Role::kClient, Role::kServer}) {
      ports[Topology::out_port(sender)].offload_to(*started.programs, sender);
    }
    started.programs->begin();
  } catch (const std::system_error& e) {
    const bool rights = e.code().value() == EPERM || e.code().value() == EACCES;
    cannot(
        std::string("the kernel carries no connections (") + e.what() +
        (rights ? "); run as root, or with CAP_BPF and CAP_NET_ADMIN" : "); it takes Linux 6.6"));
  }
  return started;
}

}  // namespace synproxy::dataplane
