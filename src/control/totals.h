// SPDX-License-Identifier: BSD-3-Clause
// Sums over all workers, for the line of --stats-interval and for the summary.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "dataplane/dataplane.h"
#include "synproxy/base/counters.h"

namespace synproxy::control {

struct Totals {
  std::array<std::uint64_t, kReasonCount> by_reason{};
  std::uint64_t flows = 0;
  std::uint64_t io_drops = 0;  // transmit queues, hand-over rings, buffers

  void add(const Counters& counters, const dataplane::IoCounters& io);
  [[nodiscard]] std::uint64_t get(Reason r) const { return by_reason[static_cast<std::size_t>(r)]; }
  [[nodiscard]] std::uint64_t drops() const;  // every reason of kind DROP, and io_drops
};

// "SYN/s 150123, SYN-ACK/s 150123, valid/s 12, invalid/s 3, flows 5, drops/s 4": rates over the
// `elapsed_ms` (not 0) between the two totals.
[[nodiscard]] std::string rate_line(const Totals& before, const Totals& after,
                                    std::uint64_t elapsed_ms);
// The last line of a proxy that stops.
[[nodiscard]] std::string summary_line(const Totals& totals, std::uint64_t elapsed_ms);

}  // namespace synproxy::control
