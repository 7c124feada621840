// SPDX-License-Identifier: BSD-3-Clause
// The keys that the benches use for the flow table and for its contenders.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/flow/key.h"
#include "unit/flow/random_keys.h"

namespace synproxy::bench {

constexpr std::size_t kBurst = 32;
using Burst = std::array<FlowKey, kBurst>;
using MakeKey = FlowKey (*)(std::uint64_t);

// `flows` keys starting at `first`, in random order.
class RandomKeys {
 public:
  RandomKeys(MakeKey make, std::uint64_t first, std::uint64_t flows)
      : make_(make), first_(first), flows_(flows) {}
  void next(Burst& burst) {
    for (FlowKey& key : burst) {
      key = make_(first_ + ((test::scrambled(++counter_) >> 32) * flows_ >> 32));
    }
  }

 private:
  MakeKey make_;
  std::uint64_t first_;
  std::uint64_t flows_;
  std::uint64_t counter_ = 0;
};

}  // namespace synproxy::bench
