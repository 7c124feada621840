// SPDX-License-Identifier: BSD-3-Clause
// The counters of one worker. Only that worker writes them; any thread may read them at any time.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "synproxy/base/counter.h"
#include "synproxy/base/felt.h"
#include "synproxy/base/reasons.h"

namespace synproxy {

// Of a service with a name. Packets count by what became of them, and events as far as
// counts_per_service() says (service_counts.h).
struct alignas(64) ServiceCounters {
  std::array<Counter, kReasonCount> by_reason;
  Counter flows;  // gauges, as below
  Counter flows_embryonic;
  Counter flows_established;

  void count(Reason r, std::uint64_t n = 1) { by_reason[static_cast<std::size_t>(r)].add(n); }
  [[nodiscard]] std::uint64_t get(Reason r) const {
    return by_reason[static_cast<std::size_t>(r)].get();
  }
};

struct alignas(64) Counters {
  std::array<Counter, kReasonCount> by_reason;
  Counter flows;                 // gauge: records in use, whatever their state
  Counter flows_embryonic;       // gauge: of these, waiting for the server's SYN-ACK
  Counter flows_established;     // gauge: of these, spliced and open
  Counter flows_offloaded;       // gauge: of the established ones, carried by the kernel now
  Counter flows_waiting;         // gauge: of the embryonic ones, held back (--server-backlog)
  Counter early_buffers;         // gauge: buffers of early data in use
  Counter half_open;             // gauge: watched, waiting for the client's ACK
  Counter cookies_by_half_open;  // gauge: services that have cookies because of those
  Counter cookies_by_rate;       // gauge: services that have cookies because of their SYN rate
  Counter cookies_tight;         // gauge: 1 while plain cookies are made tight
  // Of the services with names, in the order of their numbers. The engine owns them.
  std::span<const ServiceCounters> services;
  FeltCounters felt;

  void count(Reason r, std::uint64_t n = 1) { by_reason[static_cast<std::size_t>(r)].add(n); }
  [[nodiscard]] std::uint64_t get(Reason r) const {
    return by_reason[static_cast<std::size_t>(r)].get();
  }
};

}  // namespace synproxy
