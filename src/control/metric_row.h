// SPDX-License-Identifier: BSD-3-Clause
// A row of what --metrics shows: a name, what it means, and how its samples are made.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/metrics.h"

namespace synproxy::control::metric {

using Type = prometheus::MetricType;
using Sample = prometheus::ClientMetric;
using Samples = std::vector<Sample>;

struct Row {
  MetricInfo info;
  Type type = Type::Counter;
  std::function<void(const View&, Samples&)> fill;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

[[nodiscard]] Sample sample(const Labels& labels, Type type, double value);

[[nodiscard]] inline double number(std::uint64_t value) { return static_cast<double>(value); }

// `name`: without the program's, and without `_total`.
[[nodiscard]] Row row(std::string_view name, Type type, std::string labels, std::string_view help,
                      std::function<void(const View&, Samples&)> fill);

// What clients feel (felt.h).
void add_clients(std::vector<Row>& rows);

}  // namespace synproxy::control::metric
