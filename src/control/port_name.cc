// SPDX-License-Identifier: BSD-3-Clause
#include "control/port_name.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <stdexcept>

namespace synproxy::control {
namespace {

constexpr std::string_view kXdpPrefix = "xdp:";
constexpr std::string_view kHostName = "host";
constexpr std::size_t kMaxInterfaceLength = 15;  // IFNAMSIZ less the final zero

bool is_hex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

// Whether `text` has the form of `pattern`, in which x stands for a hexadecimal digit.
bool looks_like(std::string_view text, std::string_view pattern) {
  return text.size() == pattern.size() &&
         std::equal(text.begin(), text.end(), pattern.begin(),
                    [](char c, char p) { return p == 'x' ? is_hex(c) : c == p; });
}

std::optional<std::string> pci_address(std::string_view text) {
  std::string full;
  if (looks_like(text, "xx:xx.x")) {
    full = "0000:" + std::string(text);
  } else if (looks_like(text, "xxxx:xx:xx.x")) {
    full = text;
  } else {
    return std::nullopt;
  }
  std::ranges::transform(full, full.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return full;
}

void check_interface(std::string_view name) {
  if (name.empty()) {
    throw std::invalid_argument("is empty");
  }
  if (name.size() > kMaxInterfaceLength) {
    throw std::invalid_argument("is longer than the name of a Linux interface can be");
  }
  if (name.find_first_of("/: ") != std::string_view::npos || name == "." || name == "..") {
    throw std::invalid_argument("is not a device name of any known form");
  }
}

std::string_view vdev_name(const PortName& port) {
  return std::string_view(port.device).substr(0, port.device.find(','));
}

}  // namespace

PortName parse_port_name(std::string_view text) {
  if (text.empty()) {
    throw std::invalid_argument("is empty");
  }
  // Neither belongs in a device name, and both would break the JSON of DPDK's telemetry or a log
  // line.
  if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c >= 0x7f; }) ||
      text.find_first_of("\"\\") != std::string_view::npos) {
    throw std::invalid_argument("has a character that no device name has");
  }
  PortName port{
      .kind = PortName::Kind::kRawSocket, .text = std::string(text), .device = std::string(text)};
  if (text == kHostName) {
    port.kind = PortName::Kind::kHost;
    port.device.clear();
  } else if (text.starts_with(kXdpPrefix)) {
    port.kind = PortName::Kind::kXdp;
    port.device = text.substr(kXdpPrefix.size());
    check_interface(port.device);
  } else if (const auto pci = pci_address(text)) {
    port.kind = PortName::Kind::kPci;
    port.device = *pci;
  } else if (text.starts_with("net_") || text.starts_with("virtio_user") ||
             text.find(',') != std::string_view::npos) {
    port.kind = PortName::Kind::kVdev;
    if (vdev_name(port).empty()) {
      throw std::invalid_argument("has no driver before its comma");
    }
  } else {
    check_interface(text);
  }
  return port;
}

bool same_device(const PortName& a, const PortName& b) {
  if (a.is_interface() && b.is_interface()) {
    return a.device == b.device;
  }
  if (a.kind != b.kind) {
    return false;
  }
  return a.kind == PortName::Kind::kVdev ? vdev_name(a) == vdev_name(b) : a.device == b.device;
}

}  // namespace synproxy::control
