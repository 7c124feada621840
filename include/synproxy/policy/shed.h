// SPDX-License-Identifier: BSD-3-Clause
// Which SYNs are answered when not all can be.
//
// Theory of operation. The hash of a SYN's source address, under a random key, is its place on a
// circle. A window of the circle, as wide as the share that can be answered (ShareControl), is let
// through; the rest is shed. The window turns: 3/16 of the circle a second. So a client that was
// outside is inside at one of its next SYNs. Speed and share belong together: the places of a
// client that sends after 0, 1, 3, 7 and 15 s (RFC 6298) are then spread so that any window of
// 0.26 meets one of them, where five draws by lot would miss one client in five. All SYNs of one
// address share a place: a browser that opens six connections gets all or none.
//
// Most clients need not wait that long. A SYN that was shed is remembered (RetryMemory), and one
// that comes again, a second later, is let through: a flood with forged sources does not repeat
// itself, a client does. A flood that does repeat itself fills the memory with its own and is then
// told apart by the window alone.
//
// One packet: the client's SYN comes at 0.30 s and its place is outside: noted, shed, counted. It
// comes again at 1.31 s, in the next generation of the memory: known, let through, answered, and
// the rest of the connection is no SYN and was never in question.
//
// The hash is keyed because who knows the places could aim a flood at the window. Who has many real
// addresses can watch which of them are answered when; so the key changes every 65 s, and the hash
// is not linear in the address. Were it broken all the same, forged SYNs would take the place of
// new clients, as they do without any of this, and the spliced connections would not notice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/policy/retry_memory.h"
#include "synproxy/policy/share_control.h"
#include "synproxy/policy/syn_look.h"

namespace synproxy {

class SynShedder {
 public:
  using Key = std::array<std::uint64_t, 4>;
  // 8 MB, which a worker's share of the cache still holds: 1.6 million shed SYNs a second are
  // remembered whole.
  static constexpr std::size_t kMemoryLines = std::size_t{1} << 17;

  // `key`: random, the same for all workers, so that one that hands a SYN to another lets through
  // what the other does. Throws std::bad_alloc.
  explicit SynShedder(const Key& key, std::size_t memory_lines = kMemoryLines);

  // What happened since the last tick.
  struct News {
    bool refused = false;    // the queue of those that were let through had no room for one
    bool ran_empty = false;  // that queue
    bool behind = false;     // mostly, not even reading and dropping kept up
  };
  // About every millisecond.
  void tick(std::uint64_t now_ms, const News& news);

  // False: all are answered.
  [[nodiscard]] bool shedding() const { return !control_.whole(); }
  // Of a thousand SYNs that come for the first time, how many are not let through.
  [[nodiscard]] std::uint32_t shed_per_mille() const {
    return 1000 - static_cast<std::uint32_t>(control_.share() * std::uint64_t{1000} >> 32) -
           (control_.whole() ? 1 : 0);
  }

  // Bit i is set: syns[i] is let through. At most kMaxBurst.
  [[nodiscard]] std::uint32_t let_through(std::span<const SynIdentity> syns);

 private:
  struct Hash {
    std::uint32_t place;
    std::uint64_t mark;
  };
  [[nodiscard]] Hash hash_of(const SynIdentity& syn) const;

  const Key key_;
  ShareControl control_;
  RetryMemory memory_;
  std::uint32_t turned_ = 0;
  std::uint64_t epoch_key_ = 0;
};

}  // namespace synproxy
