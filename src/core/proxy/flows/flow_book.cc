// SPDX-License-Identifier: BSD-3-Clause
#include "flows/flow_book.h"

#include "synproxy/cookie/cookie.h"
#include "synproxy/proxy/early_store.h"

namespace synproxy {
namespace {

// One call never takes longer than a few bursts do.
constexpr std::uint32_t kMaxSweepSlice = 8192;
constexpr std::uint32_t kMaxEvictionScan = 4096;
// Above this many records a pass takes four seconds, to bound the share of memory bandwidth.
constexpr std::uint32_t kLargeTable = 1U << 20;

// First goes what is over for certain, then what a RST or both FINs have closed, then what has no
// server yet. 0: never.
unsigned eviction_rank(FlowState state) {
  switch (state) {
    case FlowState::kFinished:
    case FlowState::kTombstone:
      return 3;
    case FlowState::kClosing:
      return 2;
    case FlowState::kSynSent:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

// Remembers the cookie that opened the flow if it could still be replayed. (Some flows that are 32
// epochs old or more are remembered without need: the record holds four bits of the epoch's
// number.)
void FlowBook::remember_cookie(const FlowRecord& f, const FlowKey& key, const Moment& now) {
  if ((f.options & kFlowOutbound) != 0) return;
  const std::uint64_t epoch = now.epoch_of_cookie(f.cookie);
  if (FlowRecord::bits_of_epoch(epoch) != f.epoch_bits()) return;
  const EpochKeys* keys = now.keys().for_parity(cookie_parity(f.cookie));
  if (keys == nullptr) return;
  const LayoutKey& k = key_of_layout(*keys, (f.options & kFlowTimestamps) != 0);
  const MacInput in = cookie_mac_input(key, f.client_isn);
  const std::uint64_t mac = siphash24(k.k0, k.k1, in.words.data(), in.count);
  replay_.insert(epoch, cover_vlan(mac, k, key.vlan));
}

void FlowBook::erase(FlowIndex i, const Moment& now) {
  FlowRecord& f = table_[i];
  check(f.state() != FlowState::kSynSent || f.handshake().early == EarlyStore::kNone);
  const FlowKey key = table_.key_of(i);
  remember_cookie(f, key, now);
  set_state(f, FlowState::kFree);
  const std::uint64_t hash = hash_of(key);
  table_.erase(i, hash);
  changes_.note(hash);
}

FlowIndex FlowBook::pick_victim() {
  if (established_ == table_.size()) return kNoFlow;
  const FlowIndex end = table_.high_water();
  FlowIndex victim = kNoFlow;
  unsigned best = 0;
  for (std::uint32_t n = std::min(kMaxEvictionScan, end); n > 0 && best < 3; --n) {
    if (evict_at_ >= end) evict_at_ = 0;
    const FlowIndex i = evict_at_++;
    const unsigned rank = eviction_rank(table_[i].state());
    if (rank > best) {
      victim = i;
      best = rank;
    }
  }
  return victim;
}

void FlowBook::prefetch_victims() const {
  constexpr FlowIndex kAhead = 8;
  if (evict_at_ + kAhead >= table_.high_water()) return;
  table_.prefetch_at(evict_at_ + kAhead);
  if (table_[evict_at_].state() == FlowState::kFree) return;
  prefetch_bucket(hash_of(table_.key_of(evict_at_)));
}

std::uint32_t FlowBook::slice_due(std::uint64_t now_ms) {
  const std::uint64_t elapsed = now_ms - swept_ms_;
  if (elapsed == 0) return 0;
  swept_ms_ = now_ms;
  const std::uint64_t end = table_.high_water();
  const std::uint64_t pass_ms = end > kLargeTable ? 4000 : 1000;
  const std::uint64_t share = end * std::min(elapsed, pass_ms) / pass_ms + 1;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>({share, kMaxSweepSlice, end}));
}

}  // namespace synproxy
