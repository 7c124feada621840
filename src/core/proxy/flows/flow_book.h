// SPDX-License-Identifier: BSD-3-Clause
// The flows of one worker, and what has to stay in step with them: the counts by state, the cookies
// that were used, the keys that came and went in this burst, and the positions of the sweep and of
// the search for a victim.
//
// Invariants. A state changes only through become_handshake(), become_spliced(), set_state() and
// erase(), so that embryonic() and established() are exact. A key comes and goes only through
// insert() and erase(), so that changed() misses none of them. A cookie that may still be replayed
// is in the filter before its record is gone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "burst/moment.h"
#include "flows/flow_looks.h"
#include "flows/table_changes.h"
#include "synproxy/base/config.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/flow/table.h"

namespace synproxy {

class FlowBook {
 public:
  // Throws std::bad_alloc.
  FlowBook(const EngineShape& shape, const IndexKey& key)
      : index_key_(key),
        table_(shape.max_flows),
        looks_(shape.max_flows),
        replay_(std::max(shape.max_flows, shape.replays_per_epoch)) {}

  // --- Find and read. `hash` is the key's hash_of() everywhere.
  [[nodiscard]] std::uint64_t hash_of(const KeyView& key) const {
    return index_hash(index_key_, key);
  }
  [[nodiscard]] const IndexKey& index_key() const { return index_key_; }
  void prefetch_bucket(std::uint64_t hash) const { table_.prefetch_bucket(hash); }
  bool prefetch_record(std::uint64_t hash) const { return table_.prefetch_record(hash); }
  [[nodiscard]] FlowIndex find(const KeyView& key, std::uint64_t hash) const {
    return table_.find(key, hash);
  }
  [[nodiscard]] FlowIndex find(const KeyView& key) const { return find(key, hash_of(key)); }
  // The caller may write all fields but the state.
  [[nodiscard]] FlowRecord& operator[](FlowIndex i) { return table_[i]; }
  [[nodiscard]] const FlowRecord& operator[](FlowIndex i) const { return table_[i]; }
  [[nodiscard]] FlowKey key_of(FlowIndex i) const { return table_.key_of(i); }
  // `f` is a record of this book.
  [[nodiscard]] FlowIndex index_of(const FlowRecord& f) const {
    return static_cast<FlowIndex>(&f - &table_[0]);
  }
  [[nodiscard]] std::uint32_t size() const { return table_.size(); }
  [[nodiscard]] bool full() const { return table_.size() == table_.capacity(); }
  [[nodiscard]] std::uint32_t embryonic() const { return embryonic_; }
  // Flows that are never evicted: established and passed.
  [[nodiscard]] std::uint32_t established() const { return established_; }

  // --- Change.
  // Takes a free record for the key, which must not be in the table. kNoFlow: there is no room.
  [[nodiscard]] FlowIndex insert(const FlowKey& key, std::uint64_t hash) {
    const FlowIndex i = table_.insert(key, hash);
    if (i != kNoFlow) changes_.note(hash);
    return i;
  }
  // Frees the record. Its early data must have been freed before.
  void erase(FlowIndex i, const Moment& now);
  void become_handshake(FlowRecord& f, const HandshakePart& part) {
    count(f.state(), FlowState::kSynSent);
    f.become_handshake(part);
  }
  void become_spliced(FlowRecord& f, FlowState to, const SplicedPart& part) {
    count(f.state(), to);
    f.become_spliced(to, part);
  }
  // From one state of a spliced flow to another, or to kFree.
  void set_state(FlowRecord& f, FlowState to) {
    count(f.state(), to);
    f.put_spliced_state(to);
  }

  // --- How the segments of `end` look. Whoever opens a flow sets both ends.
  void set_look(const FlowRecord& f, Role end, const IpLook& look) {
    looks_.set(index_of(f), end, is_ipv6(f), look);
  }
  void prefetch_look(FlowIndex i) const { looks_.prefetch(i); }
  [[nodiscard]] IpLook look(const FlowRecord& f, Role end) const {
    return looks_.get(index_of(f), end, is_ipv6(f));
  }

  // --- Whether any key came or went since the burst began, and whether this one may have.
  void begin_burst() { changes_.clear(); }
  [[nodiscard]] bool changed() const { return changes_.any(); }
  [[nodiscard]] bool changed(std::uint64_t hash) const { return changes_.touch(hash); }

  // --- Cookies that have been used. `mac`: of the cookie, covers the VLAN stack too.
  [[nodiscard]] bool replayed(std::uint64_t epoch, std::uint64_t mac) const {
    return replay_.contains(epoch, mac);
  }
  void prefetch_replay(std::uint64_t epoch, std::uint64_t mac) const {
    replay_.prefetch(epoch, mac);
  }

  // --- The flow that gives way when the table is full. kNoFlow: all flows looked at must stay.
  [[nodiscard]] FlowIndex pick_victim();
  // Evictions come in runs: fetches the next candidates.
  void prefetch_victims() const;

  // Calls visit(index) for a slice of all records. The slice grows with the time since the last
  // one.
  template <typename Visit>
  void sweep(std::uint64_t now_ms, Visit&& visit) {
    const FlowIndex end = table_.high_water();
    for (std::uint32_t n = slice_due(now_ms); n > 0; --n) {
      if (sweep_at_ >= end) sweep_at_ = 0;
      visit(sweep_at_++);
    }
  }

 private:
  [[nodiscard]] static bool is_ipv6(const FlowRecord& f) {
    return (f.vlan_and_family & kFamilyIpv6) != 0;
  }
  void count(FlowState from, FlowState to) {
    embryonic_ -= from == FlowState::kSynSent ? 1U : 0U;
    established_ -= counts_established(from) ? 1U : 0U;
    embryonic_ += to == FlowState::kSynSent ? 1U : 0U;
    established_ += counts_established(to) ? 1U : 0U;
  }
  [[nodiscard]] static bool counts_established(FlowState state) {
    return state == FlowState::kEstablished || state == FlowState::kPassed;
  }
  void remember_cookie(const FlowRecord& f, const FlowKey& key, const Moment& now);
  [[nodiscard]] std::uint32_t slice_due(std::uint64_t now_ms);

  IndexKey index_key_;
  FlowTable table_;
  FlowLooks looks_;
  ReplayFilter replay_;
  TableChanges changes_;
  std::uint64_t swept_ms_ = 0;
  FlowIndex sweep_at_ = 0;
  FlowIndex evict_at_ = 0;
  std::uint32_t embryonic_ = 0;
  std::uint32_t established_ = 0;
};

}  // namespace synproxy
