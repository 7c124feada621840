// SPDX-License-Identifier: BSD-3-Clause
// What proven sources have spent of their limits: one table for all workers.
//
// Theory of operation. An entry is one 64-bit word: 20 bits of a keyed hash of the source's prefix,
// three bits that say which rate it is of or that it counts connections, and 40 bits of state. For
// a rate the state is the time at which the debt is paid (limit_rules.h), otherwise the number of
// open connections. A line of the cache holds eight. A rule touches one line per connection, when
// the connection is opened. A rule on the number of connections touches it once more when the
// connection is over: its owner keeps the slot. No packet touches a line. The rates of a mask use
// one line, and its numbers of connections the one beside it, so that one hash finds both, and on
// one page; in one line, each source would fill two of eight places at once.
//
// A word without debt and without connections says no more than an empty one, so a newcomer takes
// its place. A word with either is never taken. If all eight have some, the newcomer is charged to
// a bucket that all such newcomers of its /16 share (IPv6: /48), under the same limit. So an attack
// with more sources than the table holds cannot make the table forget anybody's debt. It costs a
// legitimate newcomer its own budget: the newcomer shares one with its neighbours.
//
// Every change is one compare-and-exchange, so the meaning does not depend on the number of
// workers. Two workers may put the same source into two ways of a line. The one that comes later
// sees the other's entry, takes its own back and tries again. A single worker just stores: a locked
// instruction waits for all stores before it, and there are six in a connection.
//
// Among a million pairs of sources in one line, one pair has the same hash bits and shares an
// entry.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "synproxy/flow/mapping.h"
#include "synproxy/policy/limit_rules.h"

namespace synproxy {

// Where the counts of a connection stand, for each of --limit-conns; 0: none.
using ConnSlots = std::array<std::uint32_t, kMaxLimits>;

class SourceLimits {
 public:
  using Key = std::array<std::uint64_t, 4>;
  static constexpr std::size_t kWays = 8;
  // For the shared buckets, in address space; a page takes memory when it is touched.
  static constexpr std::size_t kSharedBytes = std::size_t{8} << 20;

  struct Source {
    const std::uint8_t* address;  // network byte order
    bool ipv6;
  };
  enum class Refusal : std::uint8_t { kNone, kRate, kConns };
  enum class Writers : std::uint8_t { kOne, kSeveral };  // threads, from the first charge on
  struct Charge {
    Refusal refused = Refusal::kNone;
    std::uint8_t rule = 0;    // place in its list, of the rule that refused or would have
    bool over_rate = false;   // let pass because the rule is monitored
    bool over_conns = false;  // likewise
    std::uint8_t shared = 0;  // rules that charged a shared bucket
    std::uint8_t table = 0;   // for the caller, who may have several tables
    ConnSlots conns{};
    std::array<std::uint32_t, kMaxLimits> rates{};  // slots; 0: not charged

    // Whether the charge could have come out otherwise, had fewer connections been open.
    [[nodiscard]] bool is_tight() const {
      return refused == Refusal::kConns || over_conns || shared != 0;
    }
  };

  // `bytes`: memory of the entries, rounded down to a power of two, 64 at least. `key`: random.
  // Throws std::bad_alloc.
  SourceLimits(std::size_t bytes, const Key& key, Writers writers = Writers::kSeveral);

  // Charges a connection of this source to all rules, or to none if one refuses it. `replaced`:
  // what the connection holds that this one takes the place of.
  [[nodiscard]] Charge charge(const LimitRules& rules, const Source& source, std::uint64_t now_ms,
                              const ConnSlots& replaced = {});
  // The connection was not made after all.
  void give_back(const LimitRules& rules, const Charge& charge);
  // The connection is over.
  void release(const ConnSlots& slots);
  // It was not over after all. Counted whatever the limits say.
  [[nodiscard]] ConnSlots hold(const LimitRules& rules, const Source& source, std::uint64_t now_ms);

  // What charge() will look at, and what release() will. A prefetch waits until its page is found,
  // so all are asked for together.
  void prefetch(const LimitRules& rules, const Source& source) const;
  void prefetch(const ConnSlots& slots) const {
    for (const std::uint32_t slot : slots) {
      if (slot != 0) __builtin_prefetch(&word(slot), 1);
    }
  }

  [[nodiscard]] std::size_t lines() const { return lines_; }

 private:
  using Word = std::atomic<std::uint64_t>;
  // Of a source, under a mask.
  struct Prefix {
    std::uint64_t hash;    // its lower bits name the line
    std::uint32_t shared;  // place among the shared buckets of a rule
  };
  class Prefixes;
  struct Place {
    std::uint64_t line;    // number
    std::uint64_t tag;     // in its place in the word; never 0
    std::uint32_t shared;  // slot
  };
  // What a rule makes of a state. None: it refuses.
  struct Rate;
  struct Conns;

  [[nodiscard]] std::uint64_t hash(std::uint64_t salt, std::uint64_t high, std::uint64_t low) const;
  [[nodiscard]] Prefix prefix_of(const SourceMask& mask, const Source& source) const;
  // `identity`: entries of rules that differ here are separate.
  [[nodiscard]] Place place_of(const Prefix& prefix, std::uint64_t identity, unsigned code,
                               unsigned bucket) const;
  [[nodiscard]] bool is_free(const LimitRules& rules, std::uint64_t word,
                             std::uint64_t now_ms) const;
  template <typename Rule>
  [[nodiscard]] bool spend(const LimitRules& rules, const Place& place, std::uint64_t now_ms,
                           const Rule& rule, std::uint32_t& slot) const;
  template <typename Rule>
  [[nodiscard]] std::optional<bool> spend_own(const LimitRules& rules, const Place& place,
                                              std::uint64_t now_ms, const Rule& rule,
                                              std::uint32_t& slot) const;
  // Whether the word was `seen`, and is `next` now. Otherwise `seen` is what it was.
  [[nodiscard]] bool exchange(Word& word, std::uint64_t& seen, std::uint64_t next) const {
    if (!alone_) return word.compare_exchange_strong(seen, next);
    word.store(next, std::memory_order_relaxed);
    return true;
  }
  [[nodiscard]] bool twice(const Place& place, std::size_t way) const;
  [[nodiscard]] Place place_of_rate(const RateRule& rule, std::size_t i, Prefixes& prefixes) const;
  [[nodiscard]] Place place_of_conns(const ConnsLimit& rule, std::size_t i,
                                     Prefixes& prefixes) const;
  void release_one(std::uint32_t slot) const;
  void give_back_rate(const RateRule& rule, std::uint32_t slot) const;

  [[nodiscard]] Word& word(std::uint32_t slot) const {
    return static_cast<Word*>(memory_.data())[slot];
  }
  // That of the first way; the others follow.
  [[nodiscard]] static std::uint32_t slot_of(const Place& place) {
    return static_cast<std::uint32_t>(kSharedBytes / sizeof(Word) + place.line * kWays);
  }

  std::size_t lines_;  // a power of two
  bool alone_;         // only one thread writes
  Key key_;
  Mapping memory_;  // the shared buckets, then the lines
};

}  // namespace synproxy
