// SPDX-License-Identifier: BSD-3-Clause
// The lane where SYNs wait while more arrives than the worker can take.
//
// Theory of operation. A worker that takes one burst from each queue in turn treats all packets
// alike. If it is too slow, the device or the kernel drops any of them. So once a queue on the
// client's side stands (kStandingPolls polls in a row found at least half a burst: some hundred
// frames were waiting), the worker is *pressed*: it takes many bursts at once and sorts them. It
// processes segments that are not SYNs at once. SYNs wait in this lane, and are answered after
// everything else, within a budget. SYNs that find the lane full are dropped, and so are those that
// the shedder does not let through; the shedder's share follows from whether the lane runs empty.
// Reading and dropping a SYN takes a fraction of the time of answering it. So the device's queue
// stays short, and only SYNs are lost, as long as reading alone keeps up.
//
// Polls are counted instead of calling rte_eth_rx_queue_count because few virtual devices have that
// function. Half a burst is enough because several drivers give a little less than was asked for
// although they hold more.
//
// Where ACKs of no connection, or ICMP, are what the worker cannot keep up with, the engine looks
// at some of them only (stateless_shed.h). It finds the connection first, so segments of
// connections are never dropped for that. This class knows whether the worker keeps up.
//
// A queue that holds only SYNs counts like any other: if it overflows, the device drops SYNs
// blindly, while the shedder lets a client that tries again through. But such a queue is never a
// reason to answer fewer SYNs (unread).
//
// For one worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/capture_tap.h"
#include "dataplane/dataplane.h"
#include "synproxy/policy/shed.h"
#include "synproxy/policy/stateless_shed.h"
#include "synproxy/policy/syn_look.h"

struct rte_mbuf;

namespace synproxy::dataplane {

class SynLane {
 public:
  // As many as the usual receive ring holds after a moment without a CPU, yet few enough for the
  // cache: 0.2 ms of SYNs at 5 million answers a second.
  static constexpr std::uint32_t kSlots = 1024;
  static constexpr unsigned kStandingPolls = 8;
  static constexpr std::uint16_t kFewFrames = kMaxBurst / 2;  // fewer: the queue has run empty

  // `sources`: the number of queues and rings that are polled. If not `enabled`, it is never
  // pressed. References outlive it. Throws std::bad_alloc.
  SynLane(bool enabled, std::size_t sources, const ProtectSet& protect, const SynShedder::Key& key,
          Counters& counters, IoCounters& io);
  ~SynLane();  // frees what still waits
  SynLane(const SynLane&) = delete;
  SynLane& operator=(const SynLane&) = delete;

  // Not enabled: never pressed again. What waits is still there to be taken.
  void enable(bool enabled) {
    enabled_ = enabled;
    pressed_ = pressed_ && enabled;
  }

  // The share that a port sheds before this lane sees it.
  void shed_before(std::uint32_t per_mille) { shed_before_ = per_mille; }

  // What a poll of that source brought.
  void polled(std::size_t source, std::uint16_t frames);
  [[nodiscard]] bool pressed() const { return pressed_; }
  // A turn of a pressed worker is over. `unread`: a queue still held more.
  void turn_ended(bool unread) {
    ++turns_;
    unread_turns_ += unread ? 1 : 0;
  }
  // Most turns since the last tick left something unread. A single one may be a moment without a
  // CPU.
  [[nodiscard]] bool behind() const { return 2 * unread_turns_ > turns_; }

  struct Sorted {
    std::uint16_t others = 0;
    std::uint16_t syns = 0;
  };
  // A capture there sees what is shed. It outlives the lane.
  void show(CaptureTap& tap) { tap_ = &tap; }

  // Moves frames that are not SYNs to the front of `frames`, in order, and SYNs that are let
  // through to `syns` (room for `n`, at most kMaxBurst). Counts and frees the rest.
  Sorted sort(rte_mbuf** frames, std::uint16_t n, rte_mbuf** syns);

  // Takes SYNs to be answered. Counts and frees those without room.
  void keep(rte_mbuf** syns, std::uint16_t n);
  std::uint16_t take(rte_mbuf** out, std::uint16_t n);  // the oldest first
  [[nodiscard]] std::uint32_t waiting() const { return tail_ - head_; }

  // `stateless`: how many packets without a flow, besides SYNs, the engine has ever seen.
  void tick(std::uint64_t now_ms, std::uint64_t stateless);

  // Decides about those packets.
  [[nodiscard]] const StatelessShedder& stateless_shedder() const { return stateless_shedder_; }

 private:
  void shed(rte_mbuf** syns, std::uint16_t n);

  bool enabled_;
  SynLook look_;
  SynShedder shedder_;
  StatelessShedder stateless_shedder_;
  Counters& counters_;
  IoCounters& io_;
  CaptureTap* tap_ = nullptr;
  std::vector<unsigned> standing_;  // by source: polls in a row that found it far from empty
  std::uint32_t shed_before_ = 0;
  bool pressed_ = false;
  bool stood_ = false;           // since the last tick
  SynShedder::News news_;        // since the last tick
  std::uint64_t others_ = 0;     // frames that are no SYNs, since the last tick
  std::uint64_t stateless_ = 0;  // at the last tick
  unsigned turns_ = 0;           // since the last tick
  unsigned unread_turns_ = 0;    // of these
  std::uint64_t pressed_until_ms_ = 0;
  std::uint32_t head_ = 0;  // of all that ever waited, modulo 2^32
  std::uint32_t tail_ = 0;
  std::array<rte_mbuf*, kSlots> slots_;
};

}  // namespace synproxy::dataplane
