// SPDX-License-Identifier: BSD-3-Clause
// Fills, asks and churns one contender.
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
  // Cycles for 32 keys: the longest of a thousand bursts, and the longest of all, which includes
  // the machine's interrupts.
  double insert_999 = 0;
  double insert_worst = 0;
  double erase_999 = 0;
  double erase_worst = 0;
  double bytes_per_flow = 0;
};

// Other programs kept the core busy; another try may succeed.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Uses `flows` connections, as many as the contender was made for, with random keys. Throws
// Interrupted, and std::runtime_error if the contender loses or invents one.
[[nodiscard]] Trial try_out(Contender& contender, std::uint32_t flows);

}  // namespace synproxy::bench
