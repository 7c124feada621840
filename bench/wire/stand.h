// SPDX-License-Identifier: BSD-3-Clause
// Everything that the steps work with.
#pragma once

#include <rte_cycles.h>

#include <atomic>
#include <cstdint>

#include "link.h"

namespace synproxy::generator {

// The program at the other end of the links.
enum class Contender : std::uint8_t {
  kProxy,  // answers SYNs, splices connections
  kEcho,   // sends every frame of the client link back, its MAC addresses swapped
  kWire,   // passes every frame from one link to the other
};

struct Stand {
  Contender contender = Contender::kProxy;
  Link* client = nullptr;
  Link* server = nullptr;       // none for an echo
  rte_mempool* pool = nullptr;  // for frames written in full
  const std::atomic<bool>* stop = nullptr;

  [[nodiscard]] bool stopped() const { return stop->load(std::memory_order_relaxed); }
};

// The time-stamp counter, and spans of it.
[[nodiscard]] inline std::uint64_t now() { return rte_rdtsc(); }
[[nodiscard]] inline std::uint64_t ticks(double seconds) {
  return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
}
[[nodiscard]] inline double seconds(std::uint64_t ticks) {
  return static_cast<double>(ticks) / static_cast<double>(rte_get_tsc_hz());
}

}  // namespace synproxy::generator
