// SPDX-License-Identifier: BSD-3-Clause
// The limits per source in the form in which SourceLimits applies them.
//
// A rate is kept by GCRA: one time per source, at which its debt is paid. Each connection puts it
// off by the interval between two of them. The time counts in units of 2^-shift milliseconds,
// modulo 2^40. The shift of a rule is the least at which the interval is 1024 units or more. So a
// rate is met within 0.1 %, and the time of 1000 connections a second goes round in 12 days.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "synproxy/base/limits.h"

namespace synproxy {

struct RateRule {
  std::uint64_t interval = 0;   // units
  std::uint64_t tolerance = 0;  // units: how far ahead a source may be and still be let in
  unsigned shift = 0;
  SourceMask mask;

  [[nodiscard]] std::uint64_t most_ahead() const { return tolerance + interval; }
  // Entries of rules that differ here are separate. The burst may change and keep them.
  [[nodiscard]] std::uint64_t identity() const {
    return interval << 22 ^ std::uint64_t{shift} << 16 ^ std::uint64_t{mask.ipv4} << 8 ^ mask.ipv6;
  }
};

[[nodiscard]] constexpr RateRule rate_rule(const RateLimit& limit) {
  RateRule r;
  const std::uint64_t connections = std::max(limit.connections, 1U);
  while (((std::uint64_t{limit.period_ms} << r.shift) / connections) < 1024) ++r.shift;
  r.interval = ((std::uint64_t{limit.period_ms} << r.shift) + connections / 2) / connections;
  r.tolerance = (std::max(limit.burst, 1U) - 1) * r.interval;
  r.mask = limit.mask;
  return r;
}

class LimitRules {
 public:
  LimitRules() = default;
  explicit LimitRules(const LimitTuning& tuning)
      : conns_(tuning.conns),
        rate_count_(tuning.rate.count),
        monitor_rate_((tuning.monitored & kMonitorLimitRate) != 0),
        monitor_conns_((tuning.monitored & kMonitorLimitConns) != 0) {
    for (std::size_t i = 0; i < rate_count_; ++i) rates_[i] = rate_rule(tuning.rate.limits[i]);
  }

  [[nodiscard]] bool any() const { return rate_count_ + conns_.count != 0; }
  [[nodiscard]] std::span<const RateRule> rates() const { return {rates_.data(), rate_count_}; }
  [[nodiscard]] std::span<const ConnsLimit> conns() const { return conns_.in_use(); }
  [[nodiscard]] bool monitor_rate() const { return monitor_rate_; }
  [[nodiscard]] bool monitor_conns() const { return monitor_conns_; }

 private:
  std::array<RateRule, kMaxLimits> rates_{};
  LimitList<ConnsLimit> conns_;
  std::uint8_t rate_count_ = 0;
  bool monitor_rate_ = false;
  bool monitor_conns_ = false;
};

}  // namespace synproxy
