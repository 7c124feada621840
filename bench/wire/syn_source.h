// SPDX-License-Identifier: BSD-3-Clause
// An endless row of SYNs from random addresses, in bursts, with or without a rate.
#pragma once

#include <array>
#include <cstdint>

#include "link.h"
#include "stand.h"
#include "step.h"
#include "syn_stamp.h"

namespace synproxy::generator {

class SynSource {
 public:
  // `timed`: the TSval is the moment for which the SYN was planned, low 32 bits of the counter.
  SynSource(const Step& step, bool timed);
  ~SynSource();
  SynSource(const SynSource&) = delete;
  SynSource& operator=(const SynSource&) = delete;

  // Starts the plan now.
  void begin(std::uint64_t at) { due_ = static_cast<double>(at); }

  // Makes the SYNs that are due at `at`, behind those that were not taken yet; the burst is then
  // ready(). A few late SYNs do no harm: the plan catches up.
  void make(std::uint64_t at);
  [[nodiscard]] rte_mbuf** burst() { return burst_.data(); }
  [[nodiscard]] std::uint16_t ready() const { return ready_; }
  // The first n were taken.
  void taken(std::uint16_t n);

 private:
  [[nodiscard]] std::uint16_t room_by_plan(std::uint64_t at) const;

  const bool ipv6_;
  const bool timed_;
  const double interval_;  // ticks from one SYN to the next; 0: no plan
  double due_ = 0;
  const SynStamp stamp_;
  Pool pool_;
  Random random_;
  std::array<rte_mbuf*, kBurst> burst_{};
  std::uint16_t ready_ = 0;
};

// What clients offer in this step.
[[nodiscard]] inline Offer offer_of(const Step& step) { return {.timestamps = step.timestamps}; }

}  // namespace synproxy::generator
