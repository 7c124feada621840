// SPDX-License-Identifier: BSD-3-Clause
#include "control/rule_text.h"

#include <arpa/inet.h>

#include <array>

namespace synproxy::control {

std::string rule_text(const ProtectRule& rule) {
  std::array<char, INET6_ADDRSTRLEN> address{};
  ::inet_ntop(rule.ipv6 ? AF_INET6 : AF_INET, rule.address.data(), address.data(), address.size());
  std::string text = address.data();
  if (rule.prefix_length != (rule.ipv6 ? 128 : 32)) {
    text += "/" + std::to_string(rule.prefix_length);
  }
  if (rule.whole_address()) {
    return text;
  }
  if (rule.ipv6) {
    text = "[" + text + "]";
  }
  text += ":" + std::to_string(rule.first_port);
  if (rule.last_port != rule.first_port) {
    text += "-" + std::to_string(rule.last_port);
  }
  return text;
}

}  // namespace synproxy::control
