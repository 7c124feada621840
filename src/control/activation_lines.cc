// SPDX-License-Identifier: BSD-3-Clause
#include "control/activation_lines.h"

#include <algorithm>

#include "control/flow_text.h"

namespace synproxy::control {
namespace {

bool has(const std::vector<ActiveService>& all, const ActiveService& service) {
  return std::ranges::any_of(all, [&](const auto& s) { return s.same_service(service); });
}

std::string name_of(const ActiveService& s) {
  const std::string address = address_text(s.address, s.ipv6);
  return (s.ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(s.port) +
         (s.vlan == 0 ? "" : " in VLAN " + vlan_text(VlanStack{s.vlan}));
}

std::string begin_line(const ActiveService& s, const AdaptiveTuning& t) {
  const std::string value = std::to_string(s.value);
  return (s.monitored ? "cookies would begin without --monitor mode for " : "cookies began for ") +
         name_of(s) + ": " +
         (s.by_rate
              ? value + " SYNs a second are above --adaptive-rate " + std::to_string(t.syn_rate)
              : value + " half-open connections are more than " + std::to_string(t.start_percent) +
                    " % of --adaptive-backlog " + std::to_string(t.backlog));
}

std::string end_line(const ActiveService& s, const AdaptiveTuning& t) {
  return (s.monitored ? "cookies would end for " : "cookies ended for ") + name_of(s) + ": for " +
         std::to_string(t.hold_ms / 1000) + " s less than " + std::to_string(t.end_percent) +
         " % of --adaptive-backlog " + std::to_string(t.backlog) + " would have been half-open";
}

}  // namespace

std::vector<std::string> ActivationLines::look(const std::vector<ActiveService>& active,
                                               const EngineTuning& tuning,
                                               std::span<const NamedService> services) {
  const auto marks_of = [&](const ActiveService& s) -> const AdaptiveTuning& {
    const bool own = s.named != 0 && s.named <= services.size();
    return own ? services[s.named - 1].tuning.adaptive : tuning.adaptive;
  };
  std::vector<std::string> lines;
  if (tuning.mode != Mode::kAdaptive) {
    known_.clear();
    return lines;
  }
  std::vector<ActiveService> now;
  for (const ActiveService& s : active) {
    if (!has(now, s)) now.push_back(s);
  }
  for (const ActiveService& s : now) {
    if (!has(known_, s)) lines.push_back(begin_line(s, marks_of(s)));
  }
  for (const ActiveService& s : known_) {
    if (!has(now, s)) lines.push_back(end_line(s, marks_of(s)));
  }
  known_ = std::move(now);
  return lines;
}

}  // namespace synproxy::control
