// SPDX-License-Identifier: BSD-3-Clause
// Gives each received frame to the worker that owns its flow.
//
// Theory of operation. Whichever queue a frame arrived on, the core's keyed hash (owner_of) decides
// who owns it; a frame of another owner goes into that owner's ring for this side, in bursts, and
// is then processed as if it had been received there. Frames of one flow and one side pass through
// one queue and one ring, so they stay in order. With one worker nothing of this runs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/doorbell.h"

struct rte_mbuf;
struct rte_ring;

namespace synproxy::dataplane {

using IndexKey = std::array<std::uint64_t, 4>;

// The rings between all workers; one object for all of them.
class HandOver {
 public:
  // Throws std::bad_alloc, std::system_error.
  explicit HandOver(unsigned workers);
  ~HandOver();  // frees what is still inside
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  // By any worker. Returns how many, from the first, found room; the rest stays with the caller.
  std::uint16_t give(unsigned to, Side side, rte_mbuf** frames, std::uint16_t n);
  // By worker `self` alone.
  std::uint16_t take(unsigned self, Side side, rte_mbuf** out, std::uint16_t n);
  [[nodiscard]] bool anything_for(unsigned self) const;
  [[nodiscard]] Doorbell& doorbell(unsigned worker) { return *doorbells_[worker]; }
  void drain();  // when no worker runs

 private:
  std::vector<std::array<rte_ring*, 2>> rings_;  // by worker and side
  std::vector<std::unique_ptr<Doorbell>> doorbells_;
};

// One worker's view.
class Steering {
 public:
  Steering(unsigned self, unsigned workers, const ProtectSet& protect, const IndexKey& key,
           HandOver& hand_over);

  // Hands over what others own. What is left stands at the front of `frames`, in order; returns how
  // many.
  std::uint16_t sort(Side side, rte_mbuf** frames, std::uint16_t n, IoCounters& io);

 private:
  struct Batch {
    std::uint16_t count = 0;
    std::array<rte_mbuf*, kMaxBurst> frames;
  };

  const unsigned self_;
  const ProtectSet& protect_;
  const IndexKey key_;
  HandOver& hand_over_;
  std::vector<Batch> batches_;  // by owner
};

}  // namespace synproxy::dataplane
