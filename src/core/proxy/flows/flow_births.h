// SPDX-License-Identifier: BSD-3-Clause
// When each flow began. It stands beside the records, because only those who look at connections
// need it: four bytes for a flow, written once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/flow/arena.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"

namespace synproxy {

// In 64 ms of the worker's clock: a counter of 32 bits runs for eight years.
using Birth = std::uint32_t;
[[nodiscard]] constexpr Birth birth_at(std::uint64_t now_ms) {
  return static_cast<Birth>(now_ms >> 6);
}

class FlowBirths {
 public:
  // Takes memory as records are used. Throws std::bad_alloc. What an arena holds may be anything.
  explicit FlowBirths(std::uint32_t max_flows, Arena* arena = nullptr)
      : memory_(
            memory_from(arena, std::size_t{max_flows} * sizeof(Birth), Mapping::Kind::kReserved)),
        births_(static_cast<Birth*>(memory_.data())) {}

  [[nodiscard]] static std::size_t store_bytes(std::uint32_t max_flows) {
    return Arena::taken_by(std::size_t{max_flows} * sizeof(Birth));
  }
  void set(FlowIndex i, Birth birth) { births_[i] = birth; }
  [[nodiscard]] Birth get(FlowIndex i) const { return births_[i]; }
  // Whole seconds. 0 for what has begun later than now, which no engine writes.
  [[nodiscard]] std::uint32_t age_seconds(FlowIndex i, std::uint64_t now_ms) const {
    const Birth age = birth_at(now_ms) - births_[i];
    return age >> 31 != 0 ? 0 : static_cast<std::uint32_t>((std::uint64_t{age} << 6) / 1000);
  }

 private:
  Mapping memory_;
  Birth* births_;
};

}  // namespace synproxy
