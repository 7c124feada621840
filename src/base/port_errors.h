// SPDX-License-Identifier: BSD-3-Clause
// How errors about a port begin, and one that both a start and `synproxy bypass on` report.
#pragma once

#include <string>

#include "base/config.h"
#include "base/port_id.h"

namespace synproxy {

// "--client-port eth1", as an error text begins.
[[nodiscard]] std::string flag_and_value(const PortName& name, PortId id);

// Two that forward on one Linux interface would both forward every frame. The caller has checked
// that no proxy of its own --name runs. Throws UsageError if another one forwards on this port.
void refuse_used_interface(const PortName& name, PortId id);

}  // namespace synproxy
