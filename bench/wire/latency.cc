// SPDX-License-Identifier: BSD-3-Clause
#include "latency.h"

#include <algorithm>

#include "stand.h"

namespace synproxy::generator {
namespace {

constexpr double kWindow = 0.02;
// In a window with fewer, the 99.9th percentile is the maximum.
constexpr std::uint64_t kEnough = 1000;
constexpr std::array<const char*, 3> kNames{"p50_us", "p99_us", "p999_us"};

double microseconds(double ticks) { return ticks * 1e6 / static_cast<double>(rte_get_tsc_hz()); }

}  // namespace

Latency::Latency(double seconds) : window_(ticks(kWindow)) {
  windows_.reserve(static_cast<std::size_t>(seconds / kWindow) + 2);
}

Latency::Percentiles Latency::percentiles(const Histogram& of) {
  Percentiles p;
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = of.percentile(kShares[i]);
  return p;
}

void Latency::close(std::uint64_t at) {
  since_ = at;
  if (current_.count() >= kEnough && windows_.size() < windows_.capacity()) {
    windows_.push_back(percentiles(current_));
  }
  all_.add(current_);
  current_.clear();
}

nlohmann::json Latency::report() const {
  Histogram whole = all_;
  whole.add(current_);
  const Percentiles total = percentiles(whole);
  nlohmann::json j = {
      {"samples", whole.count()}, {"set_aside", set_aside_}, {"windows", windows_.size()}};
  std::vector<double> column(windows_.size());
  for (std::size_t i = 0; i < total.size(); ++i) {
    j["all"][kNames[i]] = microseconds(total[i]);
    if (windows_.empty()) {  // too slow for any window to have enough
      j[kNames[i]] = microseconds(total[i]);
      continue;
    }
    std::transform(windows_.begin(), windows_.end(), column.begin(),
                   [i](const Percentiles& p) { return p[i]; });
    const auto middle = column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2);
    std::nth_element(column.begin(), middle, column.end());
    j[kNames[i]] = microseconds(*middle);
  }
  return j;
}

}  // namespace synproxy::generator
