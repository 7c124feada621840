// SPDX-License-Identifier: BSD-3-Clause
// Where a worker shows its packets to a capture.
//
// Theory of operation. While there is no capture, the worker only asks on() once per burst, which
// reads a word of its own. Control leaves a pointer to a session, and takes it away again. The
// worker looks at the pointer once a millisecond and says which session it uses, so that control
// knows when the memory is free again. Nobody waits.
//
// A packet is rewritten where it lies. So a packet with the right ends is copied before it is
// decided. Afterwards its verdict and fate are written, or the copy is taken back. If a capture
// asks only for drops that leave the packet as it came, nothing is looked at before the decision.
// After it, packets are looked at only if a counter of these drops has moved.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/capture_filter.h"
#include "dataplane/capture_glance.h"
#include "dataplane/capture_ring.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"

namespace synproxy::dataplane {

// One worker's share of a capture.
struct CaptureSession {
  // Throws std::bad_alloc.
  CaptureSession(const CaptureFilter& what, std::uint64_t number);

  CaptureRing ring;
  const CaptureFilter filter;
  const CaptureGlance glance{filter};
  const std::uint64_t worker;
  const bool copies;                 // each packet with the right ends, before it is decided
  const std::vector<Reason> wanted;  // the fates asked for, unless it copies
  Counter lost;                      // frames asked for that found no room
};

class alignas(64) CaptureTap {
 public:
  // The time-stamp counter. Only what is copied asks for it.
  using Clock = std::uint64_t (*)();
  // `counts`: of the engine, which has counted each packet when it has decided a burst. `lost`:
  // also counts what a session has no room for.
  CaptureTap(const Counters& counts, Counter& lost, Clock clock)
      : counts_(counts), lost_(lost), clock_(clock) {}

  // --- Control. The session stays until uses() is false.
  void begin(CaptureSession& session) { asked_.store(&session, std::memory_order_release); }
  void end() { asked_.store(nullptr, std::memory_order_release); }
  [[nodiscard]] bool uses(const CaptureSession& session) const {
    return asked_.load(std::memory_order_relaxed) == &session ||
           used_.load(std::memory_order_acquire) == &session;
  }

  // The worker has begun to show its packets.
  [[nodiscard]] bool shows(const CaptureSession& session) const {
    return used_.load(std::memory_order_acquire) == &session;
  }

  // --- The worker.
  void heed() {
    CaptureSession* const asked = asked_.load(std::memory_order_acquire);
    if (asked == session_) return;
    session_ = asked;
    used_.store(asked, std::memory_order_release);
  }
  [[nodiscard]] bool on() const { return session_ != nullptr; }

  // All of these only while on(). Packets of one burst, before and after they are decided; frames
  // that are made meanwhile come between the two.
  void before(Role sender, std::span<const Packet> burst);
  void after(Role sender, std::span<const Packet> burst);
  void made(Role to, std::span<const std::uint8_t> frame);
  // The packet was decided elsewhere. Nothing of it leaves, except frames that are made.
  void dropped(Role sender, const Packet& packet);

 private:
  void keep_copies(Role sender, std::span<const Packet> burst);
  void copy_dropped(Role sender, std::span<const Packet> burst);
  [[nodiscard]] std::uint64_t wanted_so_far() const;
  // nullptr: no room.
  CaptureRecord* add(CaptureKind kind, Role side, std::span<const std::uint8_t> frame);
  // Counts it as lost if there is none.
  void tell(CaptureRecord* record, const Packet& p);
  void lose();

  std::atomic<CaptureSession*> asked_{nullptr};
  std::atomic<CaptureSession*> used_{nullptr};
  CaptureSession* session_ = nullptr;
  const Counters& counts_;
  Counter& lost_;
  const Clock clock_;

  std::uint64_t time_ = 0;      // of the burst; 0: nothing was copied yet
  std::uint32_t matching_ = 0;  // bit i: packet i has the right ends and is in copies_[i]
  bool in_burst_ = false;
  bool kept_ = false;  // something of this burst
  std::uint64_t wanted_before_ = 0;
  std::array<CaptureRecord*, kMaxBurst> copies_{};
};

}  // namespace synproxy::dataplane
