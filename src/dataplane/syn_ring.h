// SPDX-License-Identifier: BSD-3-Clause
// The ring of SYNs of a Linux interface, and the share of them that the kernel lets into it.
//
// Theory of operation. The ring is to be neither empty, because then the reader has time for more,
// nor full, because then the kernel drops SYNs without looking whose they are. In between, its
// level rises or falls for as long as the share is wrong; so the share follows the level and, to
// come to rest, the level's change. The filter's window (syn_filter.h) is as wide as the share. It
// turns as that of the shedder does (shed.h): a source that was outside is inside at one of its
// next tries.
//
// The rules of the window and of its turn are those of shed.h; the hash differs, because a socket
// filter has 32-bit words only.
//
// For the thread that reads the ring, except drops() and the descriptor of ring().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/packet_ring.h"
#include "dataplane/syn_filter.h"

namespace synproxy::dataplane {

// How wide the window is. For a call about every millisecond.
class RingShare {
 public:
  static constexpr int kFull = 8;  // levels are eighths of the ring
  [[nodiscard]] double share() const { return share_; }
  [[nodiscard]] bool whole() const { return share_ == 1; }
  void step(std::uint64_t now_ms, int level);

 private:
  double share_ = 1;
  std::uint64_t stepped_ms_ = 0;
  int level_ = 0;
  unsigned full_ = 0;   // steps in a row
  unsigned empty_ = 0;  // likewise
};

class SynRing {
 public:
  // 5 ms of SYNs where the CPU answers 200,000 a second.
  static constexpr std::uint32_t kSlots = 1024;

  // Throws std::system_error, std::length_error (syn_filter.h).
  SynRing(std::uint32_t max_frame, std::vector<ProtectRule> protect);

  [[nodiscard]] PacketRing& ring() { return ring_; }
  [[nodiscard]] const PacketRing& ring() const { return ring_; }
  [[nodiscard]] std::span<const ProtectRule> protect() const { return protect_; }

  // Not `shedding`: everything is let in, as far as there is room.
  void shed(bool shedding) { shedding_ = shedding; }
  // Before and after a look at the ring; `read`: frames that were taken out.
  void look(std::uint64_t now_ms);
  void looked(std::uint32_t read);

  [[nodiscard]] std::uint32_t shed_per_mille() const;
  // SYNs that the filter has kept out since the last call, as reckoned from the window's share and
  // from what it let in.
  [[nodiscard]] std::uint64_t take_shed();

 private:
  [[nodiscard]] int level() const;
  void narrow(std::uint64_t now_ms);

  PacketRing ring_;
  const std::vector<ProtectRule> protect_;
  RingShare share_;
  SourceWindow window_;  // in the kernel
  bool shedding_ = true;
  std::uint64_t stepped_ms_ = 0;
  std::uint64_t narrowed_ms_ = 0;
  std::uint64_t keyed_ms_ = 0;
  double shed_for_one_ = 0;  // kept out for each that is let in
  double shed_ = 0;
  std::uint64_t reckoned_drops_ = 0;
};

}  // namespace synproxy::dataplane
