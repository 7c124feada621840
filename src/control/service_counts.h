// SPDX-License-Identifier: BSD-3-Clause
// What is counted of a service with a name, summed over the workers, for all who show it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "control/counter_list.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/reasons.h"
#include "synproxy/base/service_counts.h"

namespace synproxy::control {

using ServiceGaugeInfo = CounterInfo<ServiceCounters>;

inline constexpr auto kServiceGauges = std::to_array<ServiceGaugeInfo>({
    {"flows", "Connection records of the service in use, whatever their state.",
     [](const ServiceCounters& c) -> const Counter& { return c.flows; }},
    {"flows_embryonic", "Of these, waiting for the server's SYN-ACK.",
     [](const ServiceCounters& c) -> const Counter& { return c.flows_embryonic; }},
    {"flows_established", "Of these, spliced and open.",
     [](const ServiceCounters& c) -> const Counter& { return c.flows_established; }},
});

// The counters of each worker.
using PerWorker = std::span<const Counters* const>;

// `service`: its place, from 0 on.
[[nodiscard]] std::uint64_t sum_of(PerWorker workers, std::size_t service, Reason r);
[[nodiscard]] std::uint64_t sum_of(PerWorker workers, std::size_t service,
                                   const ServiceGaugeInfo& gauge);

// What the recorder keeps of each service.
struct ServiceColumn {
  std::string_view name;
  bool gauge;
  std::uint64_t (*of)(PerWorker workers, std::size_t service);
};
[[nodiscard]] std::span<const ServiceColumn> service_columns();

}  // namespace synproxy::control
