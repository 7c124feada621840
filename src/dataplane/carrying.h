// SPDX-License-Identifier: BSD-3-Clause
// A hand-over between two processes, as the workers' engines see it: the giver finds what the taker
// has not got, the taker puts it where it belongs now. Theory of operation:
// include/synproxy/proxy/carried.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include "synproxy/flow/arena.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::dataplane {

class Giver {
 public:
  // The engines outlive it. Throws std::bad_alloc.
  explicit Giver(std::vector<Engine*> engines);

  [[nodiscard]] unsigned workers() const { return static_cast<unsigned>(engines_.size()); }
  // What the taker has not got of a worker, as numbers for carry_...().
  struct Changed {
    std::vector<FlowIndex> gone;  // carried before, and now another flow or none
    std::vector<FlowIndex> flows;
    std::vector<std::uint32_t> replays;
  };
  // Of all workers; `last`: they rest. Searches with several threads where there is much: nobody
  // forwards meanwhile. Throws std::bad_alloc.
  [[nodiscard]] std::vector<Changed> find_changed(bool last);

  void carry_flows(unsigned worker, std::span<const FlowIndex> flows, std::span<CarriedFlow> out) {
    engines_[worker]->carry_flows(books_[worker], flows, out);
  }
  void carry_replays(unsigned worker, std::span<const std::uint32_t> lines,
                     std::span<CarriedReplay> out) {
    engines_[worker]->carry_replays(books_[worker], lines, out);
  }
  [[nodiscard]] std::span<const std::byte> carry_services(unsigned worker) const {
    return engines_[worker]->carry_services();
  }

 private:
  // A part that one thread searches. What it found stands before `count`; the room stays for the
  // next pass, so that the last one waits for no page.
  struct Part {
    unsigned worker = 0;
    bool replays = false;
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    std::size_t count = 0;
    std::vector<std::uint32_t> found{};
  };
  static_assert(std::is_same_v<FlowIndex, std::uint32_t>);

  void add_parts(unsigned worker, bool replays, std::uint32_t end, std::size_t& number);
  void search(Part& part) const;

  std::vector<Engine*> engines_;
  std::vector<CarryBook> books_;
  std::vector<Part> parts_;
};

class Taker {
 public:
  // `owner`: the worker that a flow belongs to here. The engines outlive it, and do not run.
  Taker(std::vector<Engine*> engines, std::function<unsigned(const FlowKey&)> owner)
      : engines_(std::move(engines)), owner_(std::move(owner)), found_(engines_.size()) {}

  // `now_ms`: of our workers' clock. `giver`: number of the worker there.
  void adopt_services(std::span<const std::byte> carried, std::uint64_t now_ms);
  void adopt_replays(std::span<const CarriedReplay> carried, std::uint64_t now_ms);
  // All that is gone goes before the next one comes: it may have the same addresses.
  void forget_flows(unsigned giver, std::span<const FlowIndex> gone);
  void adopt_flows(unsigned giver, std::span<const CarriedFlow> carried, std::uint64_t now_ms);
  // After the last one; counts what goes on, and what does not.
  Found end();

 private:
  // More than any process has: what is said to come from beyond is not taken.
  static constexpr unsigned kMostWorkers = 1024;
  static constexpr FlowIndex kMostFlows = 1U << 28;

  struct Place {
    FlowIndex index = kNoFlow;
    std::uint16_t worker = 0;
    bool unfit = false;
  };
  std::vector<Engine*> engines_;
  std::function<unsigned(const FlowKey&)> owner_;
  std::vector<std::vector<Place>> places_;  // by the giver's worker and record
  std::vector<Found> found_;                // what is in `places_`, by our worker
};

}  // namespace synproxy::dataplane
