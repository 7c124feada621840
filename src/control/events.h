// SPDX-License-Identifier: BSD-3-Clause
// The events of the traffic that an operator wants to read: one line when a flood begins and one
// when it has ended, and the same for a table that fills. A state that comes and goes is told once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/totals.h"

namespace synproxy::control {

class Events {
 public:
  // A flood (headline.h) begins at so many looks in a row. It has ended after kCalmLooks without.
  static constexpr unsigned kFloodLooks = 2;
  static constexpr unsigned kCalmLooks = 10;
  // Share of --max-flows below which a table that was nearly full (headline.h) has room again.
  static constexpr double kRoom = 0.7;

  // `adopt_ms`: EngineShape::adopt_ms.
  Events(std::uint64_t max_flows, std::uint32_t adopt_ms)
      : max_flows_(max_flows), adopt_ms_(adopt_ms) {}

  // To be called about once a second. Returns lines to log.
  [[nodiscard]] std::vector<std::string> look(const Totals& now, std::uint64_t now_ms);

 private:
  void look_for_flood(const Totals& now, std::uint64_t elapsed_ms, std::vector<std::string>& lines);
  void look_at_adoption(const Totals& now, std::uint64_t now_ms, std::vector<std::string>& lines);
  void look_at_table(std::uint64_t flows, std::vector<std::string>& lines);

  const std::uint64_t max_flows_;
  std::uint32_t adopt_ms_;  // 0: it is over, or never was
  std::uint64_t adopts_since_ms_ = 0;
  Totals before_;
  std::uint64_t before_ms_ = 0;
  bool looked_ = false;
  unsigned flooded_looks_ = 0;  // in a row
  unsigned calm_looks_ = 0;
  bool flood_ = false;
  std::uint64_t syns_at_begin_ = 0;
  bool full_ = false;
};

}  // namespace synproxy::control
