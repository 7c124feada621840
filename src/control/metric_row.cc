// SPDX-License-Identifier: BSD-3-Clause
#include "control/metric_row.h"

namespace synproxy::control::metric {
namespace {

constexpr std::string_view kPrefix = "synproxy_";

}  // namespace

Sample sample(const Labels& labels, Type type, double value) {
  Sample s;
  for (const auto& [name, text] : labels) s.label.push_back({name, text});
  (type == Type::Counter ? s.counter.value : s.gauge.value) = value;
  return s;
}

Row row(std::string_view name, Type type, std::string labels, std::string_view help,
        std::function<void(const View&, Samples&)> fill) {
  std::string whole(kPrefix);
  whole += name;
  if (type == Type::Counter) whole += "_total";
  return {.info = {.name = std::move(whole),
                   .type = type == Type::Counter     ? "counter"
                           : type == Type::Histogram ? "histogram"
                                                     : "gauge",
                   .labels = std::move(labels),
                   .help = std::string(help)},
          .type = type,
          .fill = std::move(fill)};
}

}  // namespace synproxy::control::metric
