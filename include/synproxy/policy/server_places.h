// SPDX-License-Identifier: BSD-3-Clause
// How many connections of each service wait for the server's SYN-ACK (--server-backlog): one table
// for all workers.
//
// Theory of operation. An entry is a service: one word with 18 bits of a keyed hash, when it was
// last used, the number of connections that have a place, and the bound that was learned. A line of
// the cache holds four. A connection touches its line twice: when its server is asked, and when the
// server has answered or the connection is over. No packet touches a line. An entry without
// connections that was not used for a while may become that of another service.
//
// What is learned (`auto`). A SYN that is left unanswered for a while halves the bound, at most
// once for all that were asked before. The bound rises by one after as many answers as it is high.
// Answers count only while at least half of it is in use: an idle server shows nothing.
//
// Whose turn it is. Each prefix has a debt of turns: each turn that it takes or waits for adds one,
// and every kTurnMs one is forgotten. The debt is the level at which the next one waits, so the
// first of each prefix comes before the second of any. Prefixes stand in a tagless array under two
// hashes; the smaller debt counts, so nobody is held for a neighbour who shares one place.
//
// Workers that have somebody waiting tell it here. Then none of them takes more than its share.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "synproxy/base/limits.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/mapping.h"

namespace synproxy {

class ServerPlaces {
 public:
  using Key = std::array<std::uint64_t, 4>;
  static constexpr std::size_t kWays = 4;
  static constexpr std::uint32_t kServices = 1U << 16;
  static constexpr std::uint32_t kLevels = 32;
  static constexpr std::uint32_t kTurnMs = 30'000;
  // Of `auto`: what is assumed of a server at first, as listen() is commonly called, and the
  // bounds of what is learned. Fewer than the least are no danger to anybody.
  static constexpr std::uint32_t kFirstBound = 128;
  static constexpr std::uint32_t kLeastBound = 8;
  static constexpr std::uint32_t kMostBound = 65'535;

  // `key`: random. Throws std::bad_alloc.
  explicit ServerPlaces(const Key& key);

  // A service, as a hash.
  [[nodiscard]] std::uint64_t service_of(const KeyView& key) const;

  struct Answer {
    std::uint32_t slot = kServices;  // kServices: no entry is free
    bool full = false;
    bool busy = false;  // half of the bound is in use, or more
  };
  // Looks whether one more place is free, and finds or makes the entry.
  [[nodiscard]] Answer look(std::uint64_t service, std::uint64_t now_ms,
                            const ServerBacklog& bound);
  // False: the bound leaves no place.
  [[nodiscard]] bool take(std::uint32_t slot, std::uint64_t now_ms, const ServerBacklog& bound);
  // Whatever the bound is. False: more than can be counted have one.
  [[nodiscard]] bool take_anyway(std::uint32_t slot, std::uint64_t now_ms) {
    return take(slot, now_ms, {.connections = kMostTaken, .learned = false, .mask = {}});
  }
  void release(std::uint32_t slot) { entry(slot).word.fetch_sub(kOne, std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t bound_of(std::uint32_t slot, const ServerBacklog& bound) const {
    return bound_in(load(slot), bound);
  }
  [[nodiscard]] std::uint32_t taken(std::uint32_t slot) const { return taken_in(load(slot)); }

  void raise(std::uint32_t slot);
  // A SYN of `asked_ms` was left unanswered. True: the bound was halved by it. Times are of the
  // worker's clock modulo 2^32.
  bool silent(std::uint32_t slot, std::uint32_t asked_ms, std::uint32_t now_ms);

  // Workers that have somebody waiting for this service.
  [[nodiscard]] std::uint32_t waiting_workers(std::uint32_t slot) const {
    return entry(slot).waiting.load(std::memory_order_relaxed);
  }
  void begin_waiting(std::uint32_t slot) {
    entry(slot).waiting.fetch_add(1, std::memory_order_relaxed);
  }
  void end_waiting(std::uint32_t slot) {
    entry(slot).waiting.fetch_sub(1, std::memory_order_relaxed);
  }

  // The level at which a connection of this source waits; from then on it counts.
  [[nodiscard]] std::uint32_t take_turn(std::uint64_t service, const std::uint8_t* source,
                                        bool ipv6, const SourceMask& mask, std::uint32_t now_ms);

 private:
  struct alignas(16) Entry {
    std::atomic<std::uint64_t> word;
    std::atomic<std::uint32_t> halved_ms;
    std::atomic<std::uint32_t> waiting;
  };
  static_assert(sizeof(Entry) == 16);

  // A word, from the top: tag 18, time of last use 6, bound 16, taken 24.
  static constexpr std::uint64_t kOne = 1;
  static constexpr unsigned kTakenBits = 24;
  static constexpr std::uint32_t kMostTaken = (1U << kTakenBits) - 1;
  static constexpr unsigned kBoundShift = kTakenBits;
  static constexpr unsigned kBoundBits = 16;
  static constexpr unsigned kUsedShift = kBoundShift + kBoundBits;
  static constexpr unsigned kUsedBits = 6;
  static constexpr unsigned kTagShift = kUsedShift + kUsedBits;
  static constexpr std::size_t kPrefixes = std::size_t{1} << 18;

  [[nodiscard]] static constexpr std::uint32_t field(std::uint64_t word, unsigned shift,
                                                     unsigned bits) {
    return static_cast<std::uint32_t>(word >> shift & ((std::uint64_t{1} << bits) - 1));
  }
  [[nodiscard]] static std::uint32_t taken_in(std::uint64_t word) {
    return field(word, 0, kTakenBits);
  }
  [[nodiscard]] static std::uint32_t learned_in(std::uint64_t word) {
    const std::uint32_t bound = field(word, kBoundShift, kBoundBits);
    return bound == 0 ? kFirstBound : bound;
  }
  [[nodiscard]] static std::uint32_t bound_in(std::uint64_t word, const ServerBacklog& bound) {
    return bound.learned ? learned_in(word) : bound.connections;
  }
  [[nodiscard]] static std::uint64_t used_at(std::uint64_t now_ms) {
    return (now_ms >> 14 & ((1U << kUsedBits) - 1)) << kUsedShift;
  }
  [[nodiscard]] static bool is_free(std::uint64_t word, std::uint64_t now_ms);

  [[nodiscard]] Entry& entry(std::uint32_t slot) const {
    return static_cast<Entry*>(entries_.data())[slot];
  }
  [[nodiscard]] std::uint64_t load(std::uint32_t slot) const {
    return entry(slot).word.load(std::memory_order_relaxed);
  }
  void touch(std::uint32_t slot, std::uint64_t now_ms);
  void set_learned(std::uint32_t slot, std::uint32_t from, std::uint32_t to);
  [[nodiscard]] std::uint32_t find(std::uint64_t service, std::uint64_t now_ms);

  Key key_;
  Mapping entries_;
  Mapping debts_;  // of prefixes: when they are paid
};

}  // namespace synproxy
