// SPDX-License-Identifier: BSD-3-Clause
#include "base/port_errors.h"

#include "base/errors.h"
#include "base/runtime_files.h"

namespace synproxy {

std::string flag_and_value(const PortName& name, PortId id) {
  return (id == PortId::kClient ? "--client-port " : "--server-port ") + name.text;
}

void refuse_used_interface(const PortName& name, PortId id) {
  if (!name.is_interface() || !interface_has_user(name.device)) return;
  throw UsageError(flag_and_value(name, id) +
                   ": a proxy of another --name forwards on this interface; stop that one, or name "
                   "another interface");
}

}  // namespace synproxy
