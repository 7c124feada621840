// SPDX-License-Identifier: BSD-3-Clause
// What kind of device a --client-port or --server-port names, told from its form alone.
#pragma once

#include <string>
#include <string_view>

#include "base/config.h"

namespace synproxy::control {

// "0000:3b:00.0" and "3b:00.0" are PCI addresses, `device` gets the full form in lower case;
// "xdp:IF" is AF_XDP; "net_NAME", "virtio_userN" and whatever holds a comma are DPDK virtual
// devices; the rest are Linux interfaces. An interface that is really called net_something is
// settled by check_host, which can see it. Throws std::invalid_argument with what is wrong.
[[nodiscard]] PortName parse_port_name(std::string_view text);

// Two names that open one device: `eth0` and `xdp:eth0`, `net_tap0` and `net_tap0,iface=x`.
[[nodiscard]] bool same_device(const PortName& a, const PortName& b);

}  // namespace synproxy::control
