// SPDX-License-Identifier: BSD-3-Clause
// Every counter in the text format of Prometheus, which is made by prometheus-cpp.
//
// Names follow from the counters' own, by one rule: `cookie_invalid` is
// `synproxy_cookie_invalid_total{worker="0"}`, and a counter of both ports has the label `side`.
// The few that need a unit or are gauges stand in a table in metrics.cc. A new counter needs
// nothing here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/view.h"

namespace synproxy::control {

struct MetricInfo {
  std::string name;
  std::string_view type;  // as Prometheus calls it
  std::string labels;     // "worker, side"; may be empty
  std::string help;
};

// All that metrics_text() prints, in its order.
[[nodiscard]] std::vector<MetricInfo> metric_list();

[[nodiscard]] std::string metrics_text(const View& view);

// The same as OpenMetrics 1.0, which names a counter without its `_total` where it describes it,
// quotes quotation marks there, and has an end.
[[nodiscard]] std::string open_metrics(std::string_view metrics_text);

}  // namespace synproxy::control
