// SPDX-License-Identifier: BSD-3-Clause
// The kind of device that --client-port or --server-port names. The form of the name alone decides.
#pragma once

#include <string>
#include <string_view>

#include "base/config.h"

namespace synproxy::control {

// "0000:3b:00.0" and "3b:00.0" are PCI addresses; `device` gets the full form in lower case.
// "xdp:IF" is AF_XDP. "net_NAME", "virtio_userN" and every text with a comma are DPDK virtual
// devices. "host" is this host itself. All others are Linux interfaces. check_host() corrects this
// for a Linux interface that is called net_something. Throws std::invalid_argument with what is
// wrong.
[[nodiscard]] PortName parse_port_name(std::string_view text);

// Whether two names open one device: `eth0` and `xdp:eth0`, `net_tap0` and `net_tap0,iface=x`.
[[nodiscard]] bool same_device(const PortName& a, const PortName& b);

}  // namespace synproxy::control
