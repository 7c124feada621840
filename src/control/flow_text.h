// SPDX-License-Identifier: BSD-3-Clause
// Flows as people and scripts read them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "synproxy/policy/protect.h"
#include "synproxy/proxy/flow_info.h"

namespace synproxy::control {

// The service of a flow: its name, or without one the first rule of --protect that covers its
// server end.
class Services {
 public:
  // `names`: of the service of each rule; empty, or missing: it has none.
  explicit Services(const std::vector<std::string>& rules,
                    const std::vector<std::string>& names = {});
  // "-": no rule covers it.
  [[nodiscard]] const std::string& of(const FlowInfo& flow) const;

 private:
  std::vector<ProtectRule> rules_;
  std::vector<std::string> texts_;  // and "-" at the end
};

// Whether its server end is of that rule.
[[nodiscard]] bool is_server_at(const FlowInfo& flow, const ProtectRule& rule);

[[nodiscard]] std::string flow_header();
[[nodiscard]] std::string flow_row(const FlowInfo& flow, const std::string& service);
// An object of one line, without the line's end.
[[nodiscard]] std::string flow_json(const FlowInfo& flow, const std::string& service);

// The sources with most flows, most first; `most` of them.
struct SourceCount {
  std::string address;
  std::size_t flows = 0;
  std::size_t established = 0;
};
[[nodiscard]] std::vector<SourceCount> top_sources(std::span<const FlowInfo> flows,
                                                   std::size_t most);

// "-", "5", "100.5": the outer one first.
[[nodiscard]] std::string vlan_text(VlanStack vlan);
[[nodiscard]] std::string address_text(const AddressBytes& address, bool ipv6);

}  // namespace synproxy::control
