// SPDX-License-Identifier: BSD-3-Clause
// What a service with a name may have of its own. For all else it has what all services have.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/config.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

// Each as in EngineTuning.
struct ServiceTuning {
  Mode mode = Mode::kAlways;
  Unknown unknown = Unknown::kReset;
  bool strict_window = false;
  std::uint8_t min_ttl = 0;
  ServerBacklog backlog;
  LimitList<RateLimit> rate;
  LimitList<ConnsLimit> conns;
  LimitAction action = LimitAction::kDrop;
  AdaptiveTuning adaptive;
  std::uint16_t monitored = 0;  // MonitoredRule

  [[nodiscard]] bool monitors(MonitoredRule rule) const { return (monitored & rule) != 0; }
  // Whether a segment that belongs to nothing passes.
  [[nodiscard]] bool forwards_unknown() const {
    return unknown == Unknown::kForward || mode == Mode::kOff || monitors(kMonitorUnknown);
  }
  // Whether it passes only because the rule is monitored.
  [[nodiscard]] bool monitors_unknown() const {
    return unknown != Unknown::kForward && mode != Mode::kOff && monitors(kMonitorUnknown);
  }
  friend bool operator==(const ServiceTuning&, const ServiceTuning&) = default;
};
[[nodiscard]] constexpr ServiceTuning service_tuning(const EngineTuning& t) {
  return {.mode = t.mode,
          .unknown = t.unknown,
          .strict_window = t.strict_window,
          .min_ttl = t.min_ttl,
          .backlog = t.limits.backlog,
          .rate = t.limits.rate,
          .conns = t.limits.conns,
          .action = t.limits.action,
          .adaptive = t.adaptive,
          .monitored = t.limits.monitored};
}

// Of all of them, in the order of their numbers.
struct ServiceTunings {
  std::array<ServiceTuning, kMostNamedServices> of{};
  std::uint8_t count = 0;  // 0: they have nothing of their own

  friend bool operator==(const ServiceTunings&, const ServiceTunings&) = default;
};

}  // namespace synproxy
