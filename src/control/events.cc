// SPDX-License-Identifier: BSD-3-Clause
#include "control/events.h"

#include "control/headline.h"

namespace synproxy::control {
namespace {

std::uint64_t syns_of(const Totals& t) {
  return t.get(Reason::syn_received) + t.get(Reason::syn_shed);
}

}  // namespace

void Events::look_for_flood(const Totals& now, std::uint64_t elapsed_ms,
                            std::vector<std::string>& lines) {
  const auto rate = [&](Reason r) { return (now.get(r) - before_.get(r)) * 1000 / elapsed_ms; };
  const std::uint64_t syns = rate(Reason::syn_received) + rate(Reason::syn_shed);
  const std::uint64_t valid = rate(Reason::cookie_valid) + rate(Reason::conn_watched);
  const bool flooded = is_flood(static_cast<double>(syns), static_cast<double>(valid));
  flooded_looks_ = flooded ? flooded_looks_ + 1 : 0;
  calm_looks_ = flooded ? 0 : calm_looks_ + 1;
  if (!flood_ && flooded_looks_ >= kFloodLooks) {
    flood_ = true;
    syns_at_begin_ = syns_of(before_);
    lines.push_back("flood began: " + std::to_string(syns) + " SYNs a second, " +
                    std::to_string(valid) + " of them from clients that answer");
  } else if (flood_ && calm_looks_ >= kCalmLooks) {
    flood_ = false;
    lines.push_back("flood ended: " + std::to_string(syns_of(now) - syns_at_begin_) +
                    " SYNs since it was noticed");
  }
}

void Events::look_at_table(std::uint64_t flows, std::vector<std::string>& lines) {
  const double share = static_cast<double>(flows) / static_cast<double>(max_flows_);
  if (!full_ && share >= kNearlyFull) {
    full_ = true;
    lines.push_back("the flow table is " + std::to_string(flows * 100 / max_flows_) + " % full (" +
                    std::to_string(flows) + " of " + std::to_string(max_flows_) +
                    "); raise --max-flows before old connections make room for new ones");
  } else if (full_ && share < kRoom) {
    full_ = false;
    lines.push_back("the flow table has room again (" + std::to_string(flows) + " of " +
                    std::to_string(max_flows_) + ")");
  }
}

// The workers' clocks began a moment earlier.
void Events::look_at_adoption(const Totals& now, std::uint64_t now_ms,
                              std::vector<std::string>& lines) {
  if (adopt_ms_ == 0) return;
  if (!looked_) {
    adopts_since_ms_ = now_ms;
  } else if (now_ms - adopts_since_ms_ >= adopt_ms_) {
    lines.push_back("--adopt is over: " + std::to_string(now.get(Reason::conn_adopted)) +
                    " connections that are older than the proxy go on, " +
                    std::to_string(now.get(Reason::conn_contradicted)) +
                    " of an earlier proxy were reset; --unknown decides about others from now on");
    adopt_ms_ = 0;
  }
}

std::vector<std::string> Events::look(const Totals& now, std::uint64_t now_ms) {
  std::vector<std::string> lines;
  if (looked_ && now_ms > before_ms_) look_for_flood(now, now_ms - before_ms_, lines);
  look_at_adoption(now, now_ms, lines);
  look_at_table(now.flows, lines);
  before_ = now;
  before_ms_ = now_ms;
  looked_ = true;
  return lines;
}

}  // namespace synproxy::control
