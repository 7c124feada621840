// SPDX-License-Identifier: BSD-3-Clause
// What the SYNs that passed to the server have asked for, for when it answers.
//
// A watched connection gets its record at the server's SYN-ACK, which does not repeat what the SYN
// said: its ISN, where data came with it, its window scale, and which options it asked for. So the
// latest SYNs stand here. This is a memory and no state: it has a fixed size, and the newest SYN
// takes the place of another. A client that is not found is treated as one that may have asked for
// anything.
#pragma once

#include <cstdint>
#include <memory>

#include "synproxy/wire/seq_num.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

class SynNotes {
 public:
  static constexpr std::size_t kPlaces = 1U << 13;
  static constexpr std::uint32_t kMemoryMs = 64'000;  // Linux repeats its SYN-ACK for 63 s
  static constexpr std::uint32_t kMostData = 0x4000;  // on a SYN: more fits no segment

  struct Note {
    std::uint32_t tag = 0;  // of the flow's hash; 0: empty
    std::uint32_t isn = 0;
    std::uint32_t at_ms = 0;
    std::uint8_t scale = kNoScale;
    bool timestamps = false;
    bool sack = false;
    bool ecn = false;
  };

  // Throws std::bad_alloc. A page is touched when it is first used.
  SynNotes() : notes_(new Note[kPlaces]) {}

  // `hash`: of the flow, keyed. `now_ms`: of the worker's clock modulo 2^32.
  void add(std::uint64_t hash, SeqNum isn, const TcpOptions& o, bool ecn, std::uint32_t now_ms) {
    notes_[place_of(hash)] = {.tag = tag_of(hash),
                              .isn = isn.value(),
                              .at_ms = now_ms,
                              .scale = static_cast<std::uint8_t>(o.window_scale),
                              .timestamps = o.timestamps,
                              .sack = o.sack_permitted,
                              .ecn = ecn};
    ever_ = true;
    last_ms_ = now_ms;
  }
  // The SYN that passed lately on these addresses and ports; nullptr: none is remembered.
  [[nodiscard]] const Note* find(std::uint64_t hash, std::uint32_t now_ms) const {
    const Note& n = notes_[place_of(hash)];
    return n.tag == tag_of(hash) && now_ms - n.at_ms < kMemoryMs ? &n : nullptr;
  }
  // The one that `ack` of a SYN-ACK answers. It may acknowledge data.
  [[nodiscard]] const Note* answered(std::uint64_t hash, SeqNum ack, std::uint32_t now_ms) const {
    const Note* n = find(hash, now_ms);
    return n != nullptr && ack - SeqNum(n->isn + 1) <= kMostData ? n : nullptr;
  }
  // What answers that SYN from now on is late.
  void forget(std::uint64_t hash) {
    Note& n = notes_[place_of(hash)];
    if (n.tag == tag_of(hash)) n = {};
  }
  // Whether any SYN has passed so lately that its answer may still come.
  [[nodiscard]] bool lately(std::uint32_t now_ms) const {
    return ever_ && now_ms - last_ms_ < kMemoryMs;
  }

 private:
  [[nodiscard]] static std::size_t place_of(std::uint64_t hash) { return (hash >> 32) % kPlaces; }
  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash) | 1U;
  }

  std::unique_ptr<Note[]> notes_;
  std::uint32_t last_ms_ = 0;
  bool ever_ = false;
};

}  // namespace synproxy
