// SPDX-License-Identifier: BSD-3-Clause
#include "flows/flow_book.h"

#include <algorithm>
#include <array>

#include "flows/doubt.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/proxy/early_store.h"
#include "synproxy/proxy/offers.h"

namespace synproxy {
namespace {

// One call never takes longer than a few bursts do.
constexpr std::uint32_t kMaxSweepSlice = 8192;
// Above this many records a pass takes four seconds, to bound the share of memory bandwidth.
constexpr std::uint32_t kLargeTable = 1U << 20;

// A choice is made among kSample records. Of suspects up to kMaxSamples choices are made, until one
// has not spoken since. So an eviction looks at 40 records at most. Once kMaxLooksPerMs records
// were looked at in a millisecond, evictions take the next of each set without a choice until it is
// over.
constexpr unsigned kSample = 8;
constexpr unsigned kMaxSamples = 4;
constexpr std::uint32_t kMaxLooksPerMs = 4096;
// Shorter waits would leave an end no time to answer a keepalive (a quarter of them), and would ask
// each flow before it can become a suspect.
constexpr std::uint32_t kLeastWaitMs = 4 * kLatelyMs;
// A server that lives answers our SYN sooner.
constexpr std::uint32_t kServerAnswersMs = 1000;

}  // namespace

void FlowBook::tell_of_move(const FlowRecord& f, FlowIndex i, FlowState to) {
  if (limiter_.watches()) limiter_.moves(f, i, to, [&] { return table_.key_of(i); });
  if (turns_.watches()) turns_.moves(f, i, to);
  if (services_.on()) services_.moves(table_.key_of(i), f.state(), to);
}

// Remembers the cookie that opened the flow if it could still be replayed. (Some flows that are 32
// epochs old or more are remembered without need: the record holds four bits of the epoch's
// number.)
void FlowBook::remember_cookie(const FlowRecord& f, const FlowKey& key, const Moment& now) {
  if (!f.translated()) return;
  const std::uint64_t epoch = now.epoch_of_cookie(f.cookie);
  if (FlowRecord::bits_of_epoch(epoch) != f.epoch_bits()) return;
  const EpochKeys* keys = now.keys().for_parity(cookie_parity(f.cookie));
  if (keys == nullptr) return;
  const LayoutKey& k = key_of_layout(*keys, f.cookie_has_timestamps());
  replay_.insert(epoch, siphash24(k.k0, k.k1, cookie_mac_input(key, f.client_isn)));
}

void FlowBook::erase(FlowIndex i, const Moment& now) {
  FlowRecord& f = table_[i];
  check(f.state() != FlowState::kSynSent || f.handshake().early == EarlyStore::kNone);
  const FlowKey key = table_.key_of(i);
  remember_cookie(f, key, now);
  let_go(i, key);
}

void FlowBook::let_go(FlowIndex i) { let_go(i, table_.key_of(i)); }

void FlowBook::let_go(FlowIndex i, const FlowKey& key) {
  FlowTable::in_order();
  set_state(table_[i], FlowState::kFree);
  const std::uint64_t hash = hash_of(key);
  table_.erase(i, hash);
  changes_.note(hash);
}

namespace {

// Whether a running engine can have written the record. Its identity is the table's business.
bool makes_sense(const FlowRecord& f) {
  if (std::max({f.client_scale(), f.server_scale(), f.offered_scale()}) > kMaxWindowScale) {
    return false;
  }
  if (f.state() == FlowState::kSynSent) {
    constexpr std::uint16_t kBits = kFlowStateMask | kFlowClientFin | kFlowMarked |
                                    kFlowMarkTimestamps | kFlowFirstByteDue | kFlowHandshakeBits;
    return f.translated() && (f.progress & ~kBits) == 0;
  }
  if (f.translated()) return f.state() != FlowState::kPassed;
  return f.spliced().delta == 0;
}

}  // namespace

Found FlowBook::restore(const Moment& now) {
  const auto fits = [&](FlowIndex i) {
    FlowRecord& f = table_[i];
    // The clock goes on, so nothing was seen later than now.
    if (static_cast<std::int32_t>(now.ms32() - f.last_seen) < 0) f.last_seen = now.ms32();
    return makes_sense(f);
  };
  const Found found = table_.restore(index_key_, fits);
  replay_.restore(now.epoch());
  each([&](FlowIndex i) { enter_sets(i); });
  return found;
}

void FlowBook::enter_sets(FlowIndex i) {
  const FlowState state = table_[i].state();
  limiter_.found(table_[i], i, [&] { return table_.key_of(i); });
  if (services_.on()) services_.moves(table_.key_of(i), FlowState::kFree, state);
  if (IndexSet* const set = set_of(state); set != nullptr) set->insert(i);
  if (state == FlowState::kPassed && table_[i].watched()) note_half_open(table_[i], true);
  established_ += state == FlowState::kEstablished ? 1U : 0U;
}

void FlowBook::note_half_open(const FlowRecord& f, bool more) {
  const FlowKey key = table_.key_of(table_.index_of(f));
  const NamedServiceId named =
      services_.modes_differ() ? services_.number_of(key) : NamedServiceId{0};
  const bool counts = !services_.modes_differ() || services_.tuning(named).mode == Mode::kAdaptive;
  activation_.half_open(service_name(identity_of(key)), more, counts, named);
}

FlowIndex FlowBook::adopt(const FlowRecord& carried, const FlowKey& key, Birth birth,
                          const Moment& now) {
  const std::uint64_t hash = hash_of(key);
  if (carried.state() == FlowState::kFree || !FlowTable::could_be(carried, key, hash) ||
      !makes_sense(carried)) {
    return kNoFlow;
  }
  const FlowIndex i = find(key, hash) == kNoFlow ? insert(key, hash, birth) : kNoFlow;
  if (i == kNoFlow) return kNoFlow;
  {
    const Change change(*this, i);
    table_[i] = carried;
    if (static_cast<std::int32_t>(now.ms32() - carried.last_seen) < 0) {
      table_[i].last_seen = now.ms32();
    }
  }
  enter_sets(i);
  return i;
}

// All of the sample are fetched first, then compared.
template <typename Worth>
FlowBook::Choice FlowBook::best_of(Candidates& candidates, Worth&& worth) {
  const unsigned sample = looks_ < kMaxLooksPerMs ? kSample : 1;
  std::array<FlowIndex, kSample> seen;
  unsigned n = 0;
  for (FlowIndex at = candidates.set.next(candidates.hand); n < sample && at != kNoFlow;
       at = candidates.set.next(at + 1)) {
    if (n != 0 && at == seen[0]) break;
    seen[n++] = at;
    table_.prefetch_at(at);
  }
  Choice best;
  if (n == 0) return best;
  candidates.hand = seen[n - 1] + 1;
  looks_ += n;
  for (unsigned k = 0; k < n; ++k) {
    const std::uint32_t w = worth(seen[k]);
    if (w > best.worth) best = {seen[k], w};
  }
  return best;
}

FlowIndex FlowBook::next_of(Candidates& candidates) {
  const FlowIndex i = candidates.set.next(candidates.hand);
  candidates.hand = i + 1;
  ++looks_;
  return i;
}

// A RST or both FINs have closed a flow in kClosing, but its ends may still repeat something.
FlowIndex FlowBook::pick_over() {
  const FlowIndex first = next_of(over_);
  if (table_[first].state() != FlowState::kClosing) return first;
  const Choice other = best_of(
      over_, [&](FlowIndex i) { return table_[i].state() == FlowState::kClosing ? 0U : 1U; });
  return other.flow != kNoFlow ? other.flow : first;
}

// Flows that have left a keepalive unanswered come first, then the longest silent.
std::uint32_t FlowBook::deadness(FlowIndex i, std::uint32_t now_ms) const {
  const FlowRecord& f = table_[i];
  const std::uint32_t silent = now_ms - f.last_seen;
  if (silent < kLatelyMs || !(f.has(kFlowProbed) || is_doubtful(f))) return 0;
  return f.has(kFlowProbed) ? std::max(silent, 1U << 31) : std::min(silent, (1U << 31) - 1);
}

FlowIndex FlowBook::pick_victim(std::uint64_t now_ms) {
  if (looked_ms_ != now_ms) looks_ = 0;
  looked_ms_ = now_ms;
  if (over_.set.size() != 0) return pick_over();
  if (passed_.set.size() != 0) return pick_passed();
  const auto now = static_cast<std::uint32_t>(now_ms);
  const Choice waiting =
      best_of(waiting_, [&](FlowIndex i) { return std::max(now - table_[i].last_seen, 1U); });
  if (waiting.worth >= kServerAnswersMs) return waiting.flow;
  for (unsigned samples = 0; samples < kMaxSamples && suspects_.set.size() != 0; ++samples) {
    const Choice suspect = best_of(suspects_, [&](FlowIndex i) {
      const std::uint32_t worth = deadness(i, now);
      if (worth == 0) suspects_.set.erase(i);  // it spoke since
      return worth;
    });
    if (suspect.flow != kNoFlow) return suspect.flow;
  }
  return waiting.flow;
}

FlowIndex FlowBook::pick_passed() { return passed_.set.size() != 0 ? next_of(passed_) : kNoFlow; }

void FlowBook::prefetch_victims() const {
  const FlowIndex next = over_.set.next(over_.hand);
  if (next == kNoFlow) return;
  prefetch_bucket(hash_of(table_.key_of(next)));
  table_.prefetch_at(over_.set.next(next + 1));
}

std::uint32_t FlowBook::shortened(std::uint32_t wait_ms) const {
  const std::uint64_t capacity = table_.capacity();
  const std::uint64_t held = table_.size() - over_.set.size();
  const std::uint64_t begin = capacity * 3 / 5;
  if (held <= begin) return wait_ms;
  const std::uint64_t cut = std::uint64_t{wait_ms} * 7 / 8 * (held - begin) / (capacity - begin);
  return std::max(wait_ms - static_cast<std::uint32_t>(cut), std::min(wait_ms, kLeastWaitMs));
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
