// SPDX-License-Identifier: BSD-3-Clause
// The flows of one worker, and what has to stay in step with them: the sets by state, the cookies
// that were used, the keys that came and went in this burst, and the position of the sweep.
//
// What can be evicted is known, so that a full table costs no search. The sets of flows that are
// over, half-open and in handshake follow the states. The sweep fills the set of suspects, and a
// suspect is looked at again before it is evicted. Each set is read round and round, so that the
// flows that have been in it longest come first, more or less.
//
// Invariants. A state changes only through become_handshake(), become_spliced(), set_state() and
// erase(), so that the sets are exact. A key comes and goes only through insert() and erase(), so
// that changed() misses none of them. A cookie that may still be replayed is in the filter before
// its record is gone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "burst/moment.h"
#include "flows/flow_births.h"
#include "flows/flow_looks.h"
#include "flows/limiter.h"
#include "flows/named_services.h"
#include "flows/table_changes.h"
#include "flows/turns.h"
#include "synproxy/base/config.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/index_set.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/flow/table.h"
#include "synproxy/policy/activation.h"

namespace synproxy {

class FlowBook {
 public:
  // Throws std::bad_alloc.
  FlowBook(const EngineShape& shape, const IndexKey& key, Limiter& limiter, Turns& turns,
           Activation& activation, NamedServices& services, Arena* arena = nullptr)
      : index_key_(key),
        limiter_(limiter),
        turns_(turns),
        activation_(activation),
        services_(services),
        table_(shape.max_flows, arena),
        ip_looks_(shape.max_flows, arena),
        over_(shape.max_flows),
        passed_(shape.max_flows),
        waiting_(shape.max_flows),
        suspects_(shape.max_flows),
        replay_(replays_of(shape), arena),
        births_(shape.max_flows, arena) {}
  // Of an arena.
  [[nodiscard]] static std::size_t store_bytes(const EngineShape& shape) {
    return FlowTable::store_bytes(shape.max_flows) + FlowLooks::store_bytes(shape.max_flows) +
           ReplayFilter::store_bytes(replays_of(shape)) + FlowBirths::store_bytes(shape.max_flows);
  }
  // Takes over what stands in the arena: once, before anything else.
  Found restore(const Moment& now);

  // Takes over a flow of another engine, as it stands; its link is the caller's business. kNoFlow:
  // no engine can have written it, its key is there, or there is no room.
  [[nodiscard]] FlowIndex adopt(const FlowRecord& carried, const FlowKey& key, Birth birth,
                                const Moment& now);
  // Takes back an adopted flow; its cookie is no business of ours.
  void let_go(FlowIndex i);
  // The cookies that were used, to another engine or from it (ReplayFilter).
  [[nodiscard]] ReplayFilter& replays() { return replay_; }
  [[nodiscard]] const ReplayFilter& replays() const { return replay_; }
  [[nodiscard]] std::uint32_t capacity() const { return table_.capacity(); }

  // --- Find and read. `hash` is the key's hash_of() everywhere.
  [[nodiscard]] std::uint64_t hash_of(const KeyView& key) const {
    return index_hash(index_key_, key);
  }
  [[nodiscard]] const IndexKey& index_key() const { return index_key_; }
  void prefetch_bucket(std::uint64_t hash) const { table_.prefetch_bucket(hash); }
  FlowTable::Maybe prefetch_record(std::uint64_t hash) const {
    return table_.prefetch_record(hash);
  }
  [[nodiscard]] bool may_be_elsewhere(std::uint64_t hash) const {
    return table_.may_be_elsewhere(hash);
  }
  [[nodiscard]] FlowIndex find(const KeyView& key, std::uint64_t hash) const {
    return table_.find(key, hash);
  }
  [[nodiscard]] FlowIndex find(const KeyView& key) const { return find(key, hash_of(key)); }
  // The caller may write all fields but the state.
  [[nodiscard]] FlowRecord& operator[](FlowIndex i) { return table_[i]; }
  [[nodiscard]] const FlowRecord& operator[](FlowIndex i) const { return table_[i]; }
  [[nodiscard]] FlowKey key_of(FlowIndex i) const { return table_.key_of(i); }
  // Whether record `i` is still that key's.
  [[nodiscard]] bool has_key(FlowIndex i, const KeyView& key, std::uint64_t hash) const {
    return table_.has_key(i, key, hash);
  }
  // `f` is a record of this book.
  [[nodiscard]] FlowIndex index_of(const FlowRecord& f) const { return table_.index_of(f); }
  [[nodiscard]] std::uint32_t size() const { return table_.size(); }
  // No record at or above it is in use.
  [[nodiscard]] FlowIndex high_water() const { return table_.high_water(); }
  [[nodiscard]] bool full() const { return table_.size() == table_.capacity(); }
  [[nodiscard]] std::uint32_t embryonic() const { return waiting_.set.size(); }
  [[nodiscard]] std::uint32_t established() const { return established_ + passed(); }
  // Of these, half-open (kPassed).
  [[nodiscard]] std::uint32_t passed() const { return passed_.set.size(); }
  // How many of those there may be. Nobody has proven anything for them.
  [[nodiscard]] std::uint32_t passed_limit() const {
    return std::max(table_.capacity() / 8, std::min(table_.capacity(), 16U));
  }

  // --- Change.
  // The limiter or the turns may have begun to watch states.
  void let_watch() { watched_ = limiter_.watches() || turns_.watches() || services_.on(); }
  // Takes a free record for the key, which must not be in the table. kNoFlow: there is no room.
  [[nodiscard]] FlowIndex insert(const FlowKey& key, std::uint64_t hash, Birth birth) {
    const FlowIndex i = table_.insert(key, hash);
    if (i == kNoFlow) return i;
    changes_.note(hash);
    births_.set(i, birth);
    return i;
  }
  // Frees the record. Its early data must have been freed before.
  void erase(FlowIndex i, const Moment& now);
  // From here to its end all fields of a record change together (FlowTable::Change).
  struct Change : FlowTable::Change {
    Change(FlowBook& flows, FlowIndex i) : FlowTable::Change(flows.table_, i) {}
  };
  // With a change of the record, until all its fields are written.
  void become_handshake(const Change& /*change*/, FlowRecord& f, const HandshakePart& part) {
    moves(f, FlowState::kSynSent);
    f.become_handshake(part);
  }
  void become_spliced(FlowRecord& f, FlowState to, const SplicedPart& part) {
    become_spliced(Change(*this, index_of(f)), f, to, part);
  }
  void become_spliced(const Change& /*change*/, FlowRecord& f, FlowState to,
                      const SplicedPart& part) {
    moves(f, to);
    f.become_spliced(to, part);
  }
  // From one state of a spliced flow to another, or to kFree.
  void set_state(FlowRecord& f, FlowState to) {
    moves(f, to);
    f.put_spliced_state(to);
  }

  // --- How the segments of `end` look. Whoever opens a flow sets both ends.
  void set_look(const FlowRecord& f, Role end, const IpLook& look) {
    ip_looks_.set(index_of(f), end, is_ipv6(f), look);
  }
  void prefetch_look(FlowIndex i) const { ip_looks_.prefetch(i); }
  [[nodiscard]] IpLook look(const FlowRecord& f, Role end) const {
    return ip_looks_.get(index_of(f), end, is_ipv6(f));
  }

  // --- When it began.
  [[nodiscard]] Birth birth(FlowIndex i) const { return births_.get(i); }
  [[nodiscard]] std::uint32_t age_seconds(FlowIndex i, std::uint64_t now_ms) const {
    return births_.age_seconds(i, now_ms);
  }

  // --- Whether any key came or went since the burst began, and whether this one may have.
  void begin_burst() { changes_.clear(); }
  [[nodiscard]] bool changed() const { return changes_.any(); }
  [[nodiscard]] bool changed(std::uint64_t hash) const { return changes_.touch(hash); }

  // --- Cookies that have been used. `mac`: of the cookie, covers the VLAN stack too.
  [[nodiscard]] bool replayed(std::uint64_t epoch, std::uint64_t mac) const {
    return replay_.contains(epoch, mac);
  }
  [[gnu::always_inline]] void prefetch_replay(std::uint64_t epoch, std::uint64_t mac) const {
    replay_.prefetch(epoch, mac);
  }

  // --- The flow that gives way when the table is full: what is over, what is half-open, handshakes
  // that a server has left unanswered for a second, suspects, other handshakes. kNoFlow: those that
  // were looked at must stay.
  [[nodiscard]] FlowIndex pick_victim(std::uint64_t now_ms);
  // A half-open one (kPassed). kNoFlow: there is none.
  [[nodiscard]] FlowIndex pick_passed();
  // Evictions come in runs: fetches the next candidate.
  void prefetch_victims() const;
  // Whether the established flow is one of those that most likely are dead.
  void suspect(FlowIndex i, bool dead) { dead ? suspects_.set.insert(i) : suspects_.set.erase(i); }
  // Waits shrink as the table fills with flows that are not over: from three fifths on, down to an
  // eighth when it is full, but not below 20 s.
  [[nodiscard]] std::uint32_t shortened(std::uint32_t wait_ms) const;

  // Calls visit(index) for a slice of all records. The slice grows with the time since the last
  // one. visit() returns what it did, in frames sent and records freed; a slice ends when it has
  // done a tick's share.
  template <typename Visit>
  void sweep(std::uint64_t now_ms, Visit&& visit) {
    const FlowIndex end = table_.high_water();
    unsigned done = 0;
    for (std::uint32_t n = slice_due(now_ms); n > 0 && done < kMaxSweepWork; --n) {
      if (sweep_at_ >= end) sweep_at_ = 0;
      table_.prefetch_at(std::min(sweep_at_ + kSweepAhead, end - 1));
      done += visit(sweep_at_++);
    }
  }

  // Calls visit(index) for each record in use, and whatever else lies among them.
  template <typename Visit>
  void each(Visit&& visit) {
    for (FlowIndex i = 0; i < table_.high_water(); ++i) {
      if (table_[i].state() != FlowState::kFree) visit(i);
    }
  }

 private:
  [[nodiscard]] static std::uint32_t replays_of(const EngineShape& shape) {
    return std::max(shape.max_flows, shape.replays_per_epoch);
  }
  [[nodiscard]] static bool is_ipv6(const FlowRecord& f) {
    return (f.vlan_and_family & kFamilyIpv6) != 0;
  }
  // A probe of both ends takes up to four frames, so no slice does more than this and three.
  static constexpr unsigned kMaxSweepWork = 512;
  // A record is looked at for a few instructions, so memory is asked for it long before.
  static constexpr FlowIndex kSweepAhead = 16;

  struct Candidates {
    explicit Candidates(std::uint32_t capacity) : set(capacity) {}
    IndexSet set;
    FlowIndex hand = 0;
  };
  // The best of a sample of candidates. `worth` 0: must stay.
  struct Choice {
    FlowIndex flow = kNoFlow;
    std::uint32_t worth = 0;
  };

  void let_go(FlowIndex i, const FlowKey& key);
  // The flow came from elsewhere with its state.
  void enter_sets(FlowIndex i);
  void tell_of_move(const FlowRecord& f, FlowIndex i, FlowState to);
  // Call before the state changes.
  void moves(const FlowRecord& f, FlowState to) {
    const FlowState from = f.state();
    const FlowIndex i = table_.index_of(f);
    if (watched_) [[unlikely]]
      tell_of_move(f, i, to);
    IndexSet* const left = set_of(from);
    IndexSet* const entered = set_of(to);
    if (f.watched() && (from == FlowState::kPassed) != (to == FlowState::kPassed)) [[unlikely]] {
      note_half_open(f, to == FlowState::kPassed);
    }
    if (left != entered) {
      if (left != nullptr) left->erase(i);
      if (entered != nullptr) entered->insert(i);
    }
    if (from == FlowState::kEstablished) {
      --established_;
      suspects_.set.erase(i);
    }
    established_ += to == FlowState::kEstablished ? 1U : 0U;
  }
  void note_half_open(const FlowRecord& f, bool more);
  [[nodiscard]] IndexSet* set_of(FlowState state) {
    switch (state) {
      case FlowState::kFree:
      case FlowState::kEstablished:
        return nullptr;
      case FlowState::kSynSent:
        return &waiting_.set;
      case FlowState::kPassed:
        return &passed_.set;
      default:
        return &over_.set;
    }
  }
  template <typename Worth>
  [[nodiscard]] Choice best_of(Candidates& candidates, Worth&& worth);
  [[nodiscard]] FlowIndex next_of(Candidates& candidates);
  [[nodiscard]] FlowIndex pick_over();
  [[nodiscard]] std::uint32_t deadness(FlowIndex i, std::uint32_t now_ms) const;
  void remember_cookie(const FlowRecord& f, const FlowKey& key, const Moment& now);
  [[nodiscard]] std::uint32_t slice_due(std::uint64_t now_ms);

  IndexKey index_key_;
  Limiter& limiter_;
  Turns& turns_;
  Activation& activation_;
  NamedServices& services_;
  FlowTable table_;
  FlowLooks ip_looks_;
  Candidates over_;      // closing, finished, tombstones
  Candidates passed_;    // opened by the server, not answered
  Candidates waiting_;   // in handshake with the server
  Candidates suspects_;  // established, most likely dead
  ReplayFilter replay_;
  FlowBirths births_;
  TableChanges changes_;
  std::uint64_t swept_ms_ = 0;
  FlowIndex sweep_at_ = 0;
  std::uint32_t established_ = 0;
  bool watched_ = false;
  std::uint64_t looked_ms_ = 0;  // when records were last looked at for a victim
  std::uint32_t looks_ = 0;      // how many, in that millisecond
};

}  // namespace synproxy
