// SPDX-License-Identifier: BSD-3-Clause
// Gives each received frame to the worker that owns its flow.
//
// Theory of operation. Only its addresses and ports decide who owns a connection, never the queue
// that a frame came by. If RSS puts both directions of a connection on the queue of one worker, the
// owner is what RSS makes of them, computed here (rss_owner.h). Otherwise the core's keyed hash
// decides (owner_of). So it does not matter what a device makes of a tag or a quoted segment, or
// whether it obeys. Fragments have no ports: where they are to be put together, those of one source
// meet at one worker (gatherer_of), and the whole packet goes to its owner like any other frame. A
// frame of another owner goes in bursts into that owner's ring for its sender's role, and is then
// processed as if it had been received there. Frames of one flow and one sender pass through one
// queue and one ring, so they stay in order. With one worker none of this runs.
//
// What the keyed hash took to compute goes with the frame (frame_notes.h): the engine of the owner
// neither parses nor hashes it again.
//
// A hash that the device reports saves the computing, once it has proven right (hash_trust.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/doorbell.h"
#include "dataplane/hash_trust.h"
#include "dataplane/rss_owner.h"

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

  // By any worker. Returns how many frames, from the first on, found room; the caller keeps the
  // rest.
  std::uint16_t give(unsigned to, Role sender, rte_mbuf** frames, std::uint16_t n);
  // By worker `self` only.
  std::uint16_t take(unsigned self, Role sender, rte_mbuf** out, std::uint16_t n);
  [[nodiscard]] bool anything_for(unsigned self) const;
  [[nodiscard]] Doorbell& doorbell(unsigned worker) { return *doorbells_[worker]; }
  void drain();  // only while no worker runs

 private:
  std::vector<std::array<rte_ring*, 2>> rings_;  // by worker and sender
  std::vector<std::unique_ptr<Doorbell>> doorbells_;
};

// One worker's view.
class Steering {
 public:
  // `rss`: null unless RSS decides. All references outlive it.
  Steering(unsigned self, unsigned workers, const ProtectSet& protect, const IndexKey& key,
           const RssOwner* rss, HandOver& hand_over);

  // `frames` are of one sender and came by one port. Hands over those that others own. The rest
  // moves to the front of `frames`, in order; returns how many there are.
  std::uint16_t sort(PortId in, Role sender, rte_mbuf** frames, std::uint16_t n, IoCounters& io);

  // Whether fragments are put together: --fragments reassemble.
  void gather_fragments(bool yes) { gathers_ = yes; }
  // The owner of a packet that was put together.
  [[nodiscard]] std::uint32_t owner_of_whole(Role sender,
                                             std::span<const std::uint8_t> frame) const;

 private:
  struct alignas(64) Batch {
    std::uint16_t count = 0;
    std::array<rte_mbuf*, kMaxBurst> frames;
  };

  [[nodiscard]] std::uint32_t owner_by_hash(Role sender, const rte_mbuf& m) const;
  [[nodiscard]] std::uint32_t owner_by_rss(PortId in, Role sender, const rte_mbuf& m) const;
  [[nodiscard]] std::uint32_t owner_without_flow(Role sender, const Segment& seen) const;
  void look_at_reported_hash(PortId in, const rte_mbuf& m, IoCounters& io);

  const unsigned self_;
  const ProtectSet& protect_;
  const IndexKey key_;
  const RssOwner* const rss_;
  HandOver& hand_over_;
  PerPort<HashTrust> trust_;
  std::vector<Batch> batches_;  // by owner
  bool gathers_ = false;
};

}  // namespace synproxy::dataplane
