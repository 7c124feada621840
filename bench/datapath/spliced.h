// SPDX-License-Identifier: BSD-3-Clause
// Segments of spliced connections, each from a random one.
#pragma once

#include "datapath/cases.h"

namespace synproxy::bench {

class Spliced {
 public:
  enum class Clients : std::uint8_t { kWithTimestamps, kWithout, kBoth };

  explicit Spliced(Clients clients) : clients_(clients) {}

  // `full`: 1,500 bytes with new data; otherwise an ACK without data.
  void add_to(Bed& bed, Role from, bool full) {
    const Templates& t = bed.templates();
    const bool up = from == Role::kClient;
    const Templates::Pair& pair =
        full ? (up ? t.full_up : t.full_down) : (up ? t.small_up : t.small_down);
    const std::uint32_t n = draw(bed.config().flows);
    bed.add_segment(pair[has_timestamps(n) ? 1 : 0], n, bed.connection(n));
  }

 private:
  std::uint32_t draw(std::uint32_t flows) {
    std::uint32_t n = 0;
    do {
      n = random_.below(flows);
    } while (clients_ != Clients::kBoth &&
             has_timestamps(n) != (clients_ == Clients::kWithTimestamps));
    return n;
  }

  Clients clients_;
  Random random_{13};
};

}  // namespace synproxy::bench
