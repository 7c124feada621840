// SPDX-License-Identifier: BSD-3-Clause
// Decides which SYNs are answered when not all can be.
//
// Theory of operation. A keyed hash of a SYN's source address is its place on a circle. A window of
// the circle, as wide as the share that can be answered (ShareControl), is let through; the rest is
// shed. The window turns by 3/16 of the circle a second, so a client that was outside is inside at
// one of its next SYNs. This speed suits clients that send after 0, 1, 3, 7 and 15 s (RFC 6298):
// seen from the window, their five places are spread so that any window of 0.26 meets one of them.
// Five random draws would miss one client in five. All SYNs of one address share a place: a browser
// that opens six connections gets all or none.
//
// Most clients need not wait that long. The RetryMemory remembers shed SYNs, and a SYN that comes
// again a second later is let through: a client repeats its SYN, and a flood with forged sources
// does not. A flood that does repeat itself fills the memory with its own SYNs; the window alone
// then decides.
//
// The way of one client: its SYN comes at 0.30 s, and its place is outside the window. The SYN is
// noted, shed and counted. It comes again at 1.31 s, in the next generation of the memory, is
// known, let through and answered. The other segments of the connection are no SYNs, and are never
// shed.
//
// The hash is keyed (source_circle.h). If an attacker broke it all the same, his forged SYNs would
// displace new clients, as they do without any shedding; spliced connections would not notice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/policy/retry_memory.h"
#include "synproxy/policy/share_control.h"
#include "synproxy/policy/source_circle.h"
#include "synproxy/policy/syn_look.h"

namespace synproxy {

class SynShedder {
 public:
  using Key = SourceCircle::Key;
  // 8 MB, which still fits a worker's share of the cache. That is enough to remember 1.6 million
  // shed SYNs a second.
  static constexpr std::size_t kMemoryLines = std::size_t{1} << 17;

  // `key`: random, and the same for all workers, so that a worker that hands a SYN to another lets
  // through what the other would. Throws std::bad_alloc.
  explicit SynShedder(const Key& key, std::size_t memory_lines = kMemoryLines);

  // What happened since the last tick.
  struct News {
    bool refused = false;    // the queue of SYNs let through had no room for one
    bool ran_empty = false;  // the same queue
    bool behind = false;     // most of the time, not even reading and dropping kept up
  };
  // Call it about every millisecond.
  void tick(std::uint64_t now_ms, const News& news);

  // False while all SYNs are answered.
  [[nodiscard]] bool shedding() const { return !control_.whole(); }
  // How many of a thousand SYNs that come for the first time are not let through.
  [[nodiscard]] std::uint32_t shed_per_mille() const {
    return 1000 - static_cast<std::uint32_t>(control_.share() * std::uint64_t{1000} >> 32) -
           (control_.whole() ? 1 : 0);
  }

  // Bit i of the result: syns[i] is let through. At most kMaxBurst SYNs.
  [[nodiscard]] std::uint32_t let_through(std::span<const SynIdentity> syns);

 private:
  struct Hash {
    std::uint32_t place;
    std::uint64_t mark;
  };
  [[nodiscard]] Hash hash_of(const SynIdentity& syn) const;

  const Key key_;
  SourceCircle circle_;
  ShareControl control_;
  RetryMemory memory_;
};

}  // namespace synproxy
