// SPDX-License-Identifier: BSD-3-Clause
// One contender filled, asked and churned.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "flow_table/contender.h"

namespace synproxy::bench {

// Cycles per key, and bytes. The means leave out passes in which the core was given away.
struct Trial {
  double hit = 0;
  double miss = 0;
  double insert = 0;
  double erase = 0;
  // Cycles for 32 of them: the longest of a thousand bursts, and the longest of all. The latter has
  // the interrupts of the machine in it.
  double insert_999 = 0;
  double insert_worst = 0;
  double erase_999 = 0;
  double erase_worst = 0;
  double bytes_per_flow = 0;
};

// Other programs kept the core busy; another time it may go.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// `flows` connections, that is as many as it was made for; keys at random. Throws
// Interrupted, and std::runtime_error when the contender loses or invents one.
[[nodiscard]] Trial try_out(Contender& contender, std::uint32_t flows);

}  // namespace synproxy::bench
