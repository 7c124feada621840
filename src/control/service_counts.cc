// SPDX-License-Identifier: BSD-3-Clause
#include "control/service_counts.h"

namespace synproxy::control {
namespace {

template <typename Value>
std::uint64_t sum(PerWorker workers, std::size_t service, Value&& value) {
  std::uint64_t all = 0;
  for (const Counters* worker : workers) {
    if (service < worker->services.size()) all += value(worker->services[service]);
  }
  return all;
}

template <Reason... kReasonsOfIt>
std::uint64_t sum_of_all(PerWorker workers, std::size_t service) {
  return (sum_of(workers, service, kReasonsOfIt) + ...);
}

std::uint64_t drops(PerWorker workers, std::size_t service) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    if (kReasons[i].kind == ReasonKind::DROP) {
      all += sum_of(workers, service, static_cast<Reason>(i));
    }
  }
  return all;
}

template <std::size_t kGauge>
std::uint64_t gauge(PerWorker workers, std::size_t service) {
  return sum_of(workers, service, kServiceGauges[kGauge]);
}

constexpr auto kColumns = std::to_array<ServiceColumn>({
    {"syn_received", false, sum_of_all<Reason::syn_received>},
    {"synack_sent", false, sum_of_all<Reason::synack_sent>},
    {"cookie_valid", false, sum_of_all<Reason::cookie_valid>},
    {"cookie_invalid", false, sum_of_all<Reason::cookie_invalid>},
    {"connections", false, sum_of_all<Reason::conn_established, Reason::conn_watched>},
    {"refused", false,
     sum_of_all<Reason::limit_rate, Reason::limit_conns, Reason::conn_refused,
                Reason::conn_timed_out, Reason::backlog_expired>},
    {"drops", false, drops},
    {"flows", true, gauge<0>},
    {"flows_established", true, gauge<2>},
});
static_assert(kServiceGauges[0].name == "flows");
static_assert(kServiceGauges[2].name == "flows_established");

}  // namespace

std::uint64_t sum_of(PerWorker workers, std::size_t service, Reason r) {
  return sum(workers, service, [r](const ServiceCounters& c) { return c.get(r); });
}

std::uint64_t sum_of(PerWorker workers, std::size_t service, const ServiceGaugeInfo& info) {
  return sum(workers, service, [&](const ServiceCounters& c) { return info.of(c).get(); });
}

std::span<const ServiceColumn> service_columns() { return kColumns; }

}  // namespace synproxy::control
