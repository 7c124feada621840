// SPDX-License-Identifier: BSD-3-Clause
// Whether every worker makes progress: the clock of each has to move on.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/dataplane.h"

namespace synproxy::control {

class Pulse {
 public:
  // A worker that has the CPU looks at its clock a thousand times a second, whether frames come or
  // not.
  static constexpr std::uint64_t kPatienceMs = 500;

  explicit Pulse(const dataplane::Dataplane& dataplane)
      : dataplane_(dataplane), seen_(dataplane.workers()) {}

  // True once each worker has moved, and as long as each has moved within kPatienceMs. Call it
  // several times in that time.
  [[nodiscard]] bool beats(std::uint64_t now_ms) {
    bool all = true;
    for (unsigned w = 0; w < dataplane_.workers(); ++w) {
      Seen& seen = seen_[w];
      const std::uint64_t clock = dataplane_.io(w).clock_ms.get();
      if (clock != seen.clock) seen = {clock, now_ms, true};
      all = all && seen.moved && now_ms - seen.at_ms <= kPatienceMs;
    }
    return all;
  }

 private:
  struct Seen {
    std::uint64_t clock = 0;
    std::uint64_t at_ms = 0;
    bool moved = false;
  };

  const dataplane::Dataplane& dataplane_;
  std::vector<Seen> seen_;
};

}  // namespace synproxy::control
