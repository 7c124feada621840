// SPDX-License-Identifier: BSD-3-Clause
#include "control/totals.h"

#include <sstream>

#include "control/counter_list.h"

namespace synproxy::control {

void Totals::add(const Counters& counters, const dataplane::IoCounters& io) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    by_reason[i] += counters.by_reason[i].get();
  }
  flows += counters.flows.get();
  io_drops += io.tx_dropped[0].get() + io.tx_dropped[1].get() + io.hand_over_full.get() +
              io.no_buffer.get();
}

std::uint64_t Totals::drops() const {
  std::uint64_t sum = io_drops;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    sum += kReasons[i].kind == ReasonKind::DROP ? by_reason[i] : 0;
  }
  return sum;
}

std::string rate_line(const Totals& before, const Totals& after, std::uint64_t elapsed_ms) {
  const auto rate = [&](std::uint64_t from, std::uint64_t to) {
    return ((to - from) * 1000 + elapsed_ms / 2) / elapsed_ms;
  };
  const auto of = [&](Reason r) { return rate(before.get(r), after.get(r)); };
  std::ostringstream out;
  out << "SYN/s " << of(Reason::syn_received) << ", SYN-ACK/s " << of(Reason::synack_sent)
      << ", valid/s " << of(Reason::cookie_valid) << ", invalid/s " << of(Reason::cookie_invalid)
      << ", flows " << after.flows << ", drops/s " << rate(before.drops(), after.drops());
  return out.str();
}

std::string summary_line(const Totals& totals, std::uint64_t elapsed_ms) {
  std::ostringstream out;
  out << "stopped after " << elapsed_ms / 1000 << " s: SYN " << totals.get(Reason::syn_received)
      << ", SYN-ACK " << totals.get(Reason::synack_sent) << ", valid "
      << totals.get(Reason::cookie_valid) << ", invalid " << totals.get(Reason::cookie_invalid)
      << ", spliced " << totals.get(Reason::conn_established) << ", reopened "
      << totals.get(Reason::conn_reopened) << ", flows left " << totals.flows << ", drops "
      << totals.drops();
  return out.str();
}

}  // namespace synproxy::control
