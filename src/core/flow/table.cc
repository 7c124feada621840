// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <numeric>

namespace synproxy {
namespace {

// 3 buckets for 16 records: see the theory of operation. The minimum keeps a tiny table from being
// a special case: with one bucket, every key would have the same two places.
constexpr std::uint32_t kMinBuckets = 16;
std::uint32_t buckets_for(std::uint32_t max_flows) {
  const std::uint64_t wanted = (std::uint64_t{max_flows} * 3 + 15) / 16;
  return std::max(kMinBuckets, static_cast<std::uint32_t>(wanted));
}

constexpr std::size_t kMaxPathBuckets = 64;
constexpr std::uint16_t kMaxDisplaced = 0xffff;

// A free record carries a VLAN word that no frame can have. Its address words hold the links of the
// free list.
constexpr std::uint32_t kFreeVlan = 0x7fffffff;
bool is_free(const FlowRecord& record) { return record.vlan_and_family == kFreeVlan; }
FlowIndex& next_of(FlowRecord& record) { return record.client_address; }
// Stale in the first record of the list, where nobody uses it.
FlowIndex& previous_of(FlowRecord& record) { return record.server_address; }

std::size_t record_bytes(std::uint32_t max_flows) {
  return (std::size_t{max_flows} + 1) * sizeof(FlowRecord);  // and the header
}

std::size_t index_bytes(std::uint32_t max_flows) {
  return std::size_t{buckets_for(max_flows)} * sizeof(FlowBucket);
}

// A stack that pushed() can have made.
bool is_sound(VlanStack vlan) {
  constexpr std::uint32_t kUsed = 0x0fffffff;
  if ((vlan.packed & ~kUsed) != 0 || vlan.tags() > kMaxVlanTags) return false;
  const bool inner = vlan.inner() != 0;
  const bool outer = vlan.outer() != 0;
  const bool inner_service = (vlan.packed & 1U << 26) != 0;
  const bool outer_service = (vlan.packed & 1U << 27) != 0;
  return inner == (vlan.tags() > 0) && outer == (vlan.tags() > 1) && inner >= inner_service &&
         outer >= outer_service;
}

std::uint32_t empty_slots(const FlowBucket& bucket) { return match_tags(bucket, 0); }
std::uint32_t first_of(std::uint32_t mask) {
  return static_cast<std::uint32_t>(std::countr_zero(mask));
}
bool is_foreign(const FlowBucket& bucket, std::uint32_t slot) {
  return (bucket.foreign >> slot & 1U) != 0;
}

}  // namespace

FlowTable::FlowTable(std::uint32_t max_flows, Arena* arena)
    : memory_(memory_from(arena,
                          record_bytes(max_flows) + (arena == nullptr ? index_bytes(max_flows) : 0),
                          Mapping::Kind::kReserved)),
      ipv6_memory_(memory_from(arena, std::size_t{max_flows} * sizeof(Ipv6Addresses),
                               Mapping::Kind::kSparse)),
      index_memory_(arena == nullptr ? 0 : index_bytes(max_flows), Mapping::Kind::kReserved),
      header_(static_cast<Header*>(memory_.data())),
      records_(reinterpret_cast<FlowRecord*>(header_ + 1)),
      buckets_(arena == nullptr ? reinterpret_cast<FlowBucket*>(records_ + max_flows)
                                : static_cast<FlowBucket*>(index_memory_.data())),
      ipv6_(static_cast<Ipv6Addresses*>(ipv6_memory_.data())),
      bucket_count_(buckets_for(max_flows)),
      capacity_(max_flows) {}

std::size_t FlowTable::store_bytes(std::uint32_t max_flows) {
  return Arena::taken_by(record_bytes(max_flows)) +
         Arena::taken_by(std::size_t{max_flows} * sizeof(Ipv6Addresses));
}

FlowIndex FlowTable::insert(const FlowKey& key, std::uint64_t hash) {
  const FlowIndex index = next_free();
  if (index == kNoFlow || !place(hash, index)) return kNoFlow;
  take_record(index);
  const FlowIdentity identity = record_identity(key, hash);
  FlowRecord& record = records_[index];
  record = FlowRecord{};
  record.client_address = static_cast<std::uint32_t>(identity.addresses);
  record.server_address = static_cast<std::uint32_t>(identity.addresses >> 32);
  record.client_port = key.client_port;
  record.server_port = key.server_port;
  record.vlan_and_family = vlan_and_family_of(identity);
  if (key.ipv6) ipv6_[index] = {key.client, key.server};
  return index;
}

void FlowTable::erase(FlowIndex index, std::uint64_t hash) {
  const std::uint32_t home = home_of(hash);
  const std::uint16_t tag = tag_of(hash);
  std::uint32_t at = home;
  for (;;) {
    FlowBucket& bucket = buckets_[at];
    for (std::uint32_t mask = match_tags(bucket, tag); mask != 0; mask &= mask - 1) {
      const std::uint32_t slot = first_of(mask);
      if (bucket.records[slot] != index) continue;
      if (is_foreign(bucket, slot)) --buckets_[home].displaced;
      set_entry(bucket, slot, 0, 0, false);
      free_record(index);
      return;
    }
    const std::uint32_t other = other_of(home, tag);
    if (at == other) break;
    at = other;
  }
  assert(false && "erase() of a record under a hash that is not its own");
}

FlowKey FlowTable::key_of(FlowIndex index) const {
  const FlowRecord& record = records_[index];
  FlowKey key;
  key.ipv6 = (record.vlan_and_family & kFamilyIpv6) != 0;
  if (key.ipv6) {
    key.client = ipv6_[index].client;
    key.server = ipv6_[index].server;
  } else {
    std::memcpy(key.client.data(), &record.client_address, sizeof record.client_address);
    std::memcpy(key.server.data(), &record.server_address, sizeof record.server_address);
  }
  key.client_port = record.client_port;
  key.server_port = record.server_port;
  key.vlan.packed = record.vlan_and_family & ~kFamilyIpv6;
  return key;
}

// ---- The index ----

void FlowTable::set_entry(FlowBucket& bucket, std::uint32_t slot, std::uint16_t tag,
                          FlowIndex index, bool foreign) {
  bucket.tags[slot] = tag;
  bucket.records[slot] = index;
  const auto bit = static_cast<std::uint16_t>(1U << slot);
  bucket.foreign =
      static_cast<std::uint16_t>(foreign ? bucket.foreign | bit : bucket.foreign & ~bit);
}

bool FlowTable::place(std::uint64_t hash, FlowIndex index) {
  const std::uint32_t home = home_of(hash);
  const std::uint16_t tag = tag_of(hash);
  FlowBucket& first = buckets_[home];
  std::uint32_t empty = empty_slots(first);
  if (empty != 0) [[likely]] {
    set_entry(first, first_of(empty), tag, index, false);
    return true;
  }
  const std::uint32_t other = other_of(home, tag);
  FlowBucket& second = buckets_[other];
  if (empty_slots(second) == 0 && !make_room(home, other)) return false;
  empty = empty_slots(first);
  if (empty != 0) {
    set_entry(first, first_of(empty), tag, index, false);
    return true;
  }
  if (first.displaced == kMaxDisplaced) return false;
  ++first.displaced;
  set_entry(second, first_of(empty_slots(second)), tag, index, true);
  return true;
}

void FlowTable::move_entry(std::uint32_t from, std::uint32_t slot, std::uint32_t to,
                           std::uint32_t to_slot) {
  FlowBucket& source = buckets_[from];
  FlowBucket& target = buckets_[to];
  const bool was_foreign = is_foreign(source, slot);
  if (was_foreign) {
    --target.displaced;
  } else {
    ++source.displaced;
  }
  set_entry(target, to_slot, source.tags[slot], source.records[slot], !was_foreign);
  set_entry(source, slot, 0, 0, false);
}

// Breadth first over "which bucket could take an entry of this one", so that the fewest entries
// move. Each bucket enters the queue once, so no path crosses itself.
bool FlowTable::make_room(std::uint32_t home, std::uint32_t other) {
  struct Step {
    std::uint32_t bucket;
    std::uint32_t parent;       // in the queue
    std::uint32_t parent_slot;  // whose entry can move here
  };
  std::array<Step, kMaxPathBuckets> queue;
  std::size_t queued = 0;
  const auto seen = [&](std::uint32_t bucket) {
    return std::any_of(queue.begin(), queue.begin() + queued,
                       [bucket](const Step& s) { return s.bucket == bucket; });
  };
  constexpr std::uint32_t kRoot = kMaxPathBuckets;
  queue[queued++] = {home, kRoot, 0};
  if (other != home) queue[queued++] = {other, kRoot, 0};
  for (std::uint32_t at = 0; at < queued; ++at) {
    const FlowBucket& bucket = buckets_[queue[at].bucket];
    for (std::uint32_t slot = 0; slot < kBucketSlots; ++slot) {
      if (!is_foreign(bucket, slot) && bucket.displaced >= kMaxDisplaced - kMaxPathBuckets)
        continue;
      const std::uint32_t next = other_of(queue[at].bucket, bucket.tags[slot]);
      const std::uint32_t empty = empty_slots(buckets_[next]);
      if (empty != 0) {
        std::uint32_t to = next;
        std::uint32_t to_slot = first_of(empty);
        std::uint32_t from_slot = slot;
        for (std::uint32_t step = at; step != kRoot; step = queue[step].parent) {
          move_entry(queue[step].bucket, from_slot, to, to_slot);
          to = queue[step].bucket;
          to_slot = from_slot;
          from_slot = queue[step].parent_slot;
        }
        return true;
      }
      if (queued < kMaxPathBuckets && !seen(next)) queue[queued++] = {next, at, slot};
    }
  }
  return false;
}

std::uint32_t FlowTable::displaced() const {
  return std::accumulate(buckets_, buckets_ + bucket_count_, std::uint32_t{0},
                         [](std::uint32_t sum, const FlowBucket& b) { return sum + b.displaced; });
}

// ---- What was found ----

bool FlowTable::is_sound(FlowIndex index, std::uint64_t hash) const {
  return header_->changing != index + 1 && could_be(records_[index], key_of(index), hash);
}

bool FlowTable::could_be(const FlowRecord& record, const FlowKey& key, std::uint64_t hash) {
  if (record.state() > FlowState::kPassed || !synproxy::is_sound(key.vlan)) return false;
  return record_identity(record) == record_identity(key, hash);
}

std::uint64_t FlowTable::hash_of(FlowIndex index, const IndexKey& key) const {
  const std::uint64_t hash = index_hash(key, key_of(index));
  __builtin_prefetch(buckets_ + home_of(hash), 1);
  return hash;
}

void FlowTable::enter_again(std::span<const Returning> batch, Found& found) {
  for (const Returning& r : batch) prefetch_record(r.hash);
  for (const Returning& r : batch) enter_again(r) ? void(++found.kept) : drop(r.index, found);
}

bool FlowTable::enter_again(const Returning& record) {
  const auto [index, hash] = record;
  if (find(key_of(index), hash) != kNoFlow || !place(hash, index)) return false;
  ++size_;
  high_water_ = index + 1;
  return true;
}

void FlowTable::drop(FlowIndex index, Found& found) {
  records_[index] = FlowRecord{};
  ++found.dropped;
}

// The lowest come first, as after a start.
void FlowTable::chain_free() {
  for (FlowIndex i = high_water_; i-- != 0;) {
    if (records_[i].state() != FlowState::kFree) continue;
    ++size_;
    free_record(i);
  }
}

// ---- The free records ----

FlowIndex FlowTable::next_free() const {
  if (free_head_ != kNoFlow) return free_head_;
  return high_water_ < capacity_ ? high_water_ : kNoFlow;
}

void FlowTable::take_record(FlowIndex index) {
  if (index == free_head_) {
    free_head_ = next_of(records_[index]);
    // The next insert() writes it.
    if (free_head_ != kNoFlow) __builtin_prefetch(records_ + free_head_, 1);
  } else {
    ++high_water_;
  }
  ++size_;
}

void FlowTable::free_record(FlowIndex index) {
  FlowRecord& record = records_[index];
  record = FlowRecord{};
  record.vlan_and_family = kFreeVlan;
  next_of(record) = free_head_;
  if (free_head_ != kNoFlow) previous_of(records_[free_head_]) = index;
  free_head_ = index;
  --size_;
  lower_high_water();
}

// A few at a time: more than one, so that it catches up, and bounded, so that no erase() takes
// long.
void FlowTable::lower_high_water() {
  for (int i = 0; i < 4 && high_water_ != 0 && is_free(records_[high_water_ - 1]); ++i) {
    --high_water_;
    FlowRecord& record = records_[high_water_];
    const FlowIndex next = next_of(record);
    if (high_water_ == free_head_) {
      free_head_ = next;
    } else {
      const FlowIndex previous = previous_of(record);
      next_of(records_[previous]) = next;
      if (next != kNoFlow) previous_of(records_[next]) = previous;
    }
    record = FlowRecord{};
  }
}

}  // namespace synproxy
