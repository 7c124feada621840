// SPDX-License-Identifier: BSD-3-Clause
// All connections of one worker: records in a flat array and an index of one cache line per bucket.
//
// Theory of operation. A record is found by its number. The index leads from a key to the number:
// the hash (index_hash.h) names a home bucket, and ten tags of 16 bits in that line are compared at
// once. A tag that fits names a record, whose first 16 bytes decide (record_identity()). The
// addresses of IPv6 lie in a parallel array, which no lookup reads. Looking up an absent key nearly
// always reads its home bucket and nothing else: a tag fits by chance once in more than ten
// thousand look-ups.
//
// A key whose home is full goes to its other bucket, and its home counts it as displaced. A lookup
// reads a second line only if that count is not zero. The other bucket is computed from the present
// bucket and the tag alone, and the computation is its own inverse. So an entry moves between its
// two places without a look at its key or record. There are 3 buckets for 16 records, that is 10
// slots for 5.3 entries when every record is in use; about one entry in 200 is then displaced. If
// both buckets are full, a short path of such moves makes room (at most kMaxPathBuckets lines are
// searched). At this load a path exists unless the hash is broken.
//
// The life of one connection. The ACK with the valid cookie: prefetch_bucket() for the whole burst,
// find() gives kNoFlow, and insert() takes a record (the one freed last, which is warm, or the next
// one that was never used) and writes the identity and the tag. Its data: prefetch_bucket() for the
// burst, prefetch_record() for the burst, find(). Its end: erase() empties the slot and puts the
// record on top of the free list, which runs through the free records. Nothing is ever rehashed, no
// operation on a connection gets slower with their number, and no array holds a pointer.
//
// The records outlive the process if they lie in an arena. A process may be killed between any two
// instructions. What it has stored until then is there, in its order. So while several fields of a
// record change together, the arena's header names it (Change), and the next process drops it.
// Index and free list are never found, but built anew from the records.
//
// Not thread-safe: one worker, one table.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/flow/arena.h"
#include "synproxy/flow/bucket.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"

namespace synproxy {

class FlowTable {
  // One cache line before the records. `changing`: one above the record that is being changed, 0:
  // none is.
  struct alignas(64) Header {
    std::uint32_t changing;
  };

 public:
  // Takes all its address space at once, and memory as records are used. Throws std::bad_alloc.
  explicit FlowTable(std::uint32_t max_flows, Arena* arena = nullptr);
  // Of an arena.
  [[nodiscard]] static std::size_t store_bytes(std::uint32_t max_flows);

  // Takes over what stands in the arena: once, before anything else. Drops a record that was being
  // changed, whose identity no packet can have, that is there twice, or for which fits(index) is
  // false. `key`: of index_hash().
  template <typename Fits>
  Found restore(const IndexKey& key, Fits&& fits) {
    Found found;
    // Their buckets are fetched together: nobody forwards meanwhile.
    std::array<Returning, 32> batch;
    for (FlowIndex i = 0; i < capacity_;) {
      std::size_t size = 0;
      for (; i < capacity_ && size < batch.size(); ++i) {
        if (records_[i].state() == FlowState::kFree) continue;
        const std::uint64_t hash = hash_of(i, key);
        if (is_sound(i, hash) && fits(i)) {
          batch[size++] = {i, hash};
        } else {
          drop(i, found);
        }
      }
      enter_again({batch.data(), size}, found);
    }
    header_->changing = 0;
    chain_free();
    return found;
  }

  // Names a record whose fields are about to change together, until its end.
  class Change {
   public:
    Change(FlowTable& table, FlowIndex index) : header_(*table.header_), before_(header_.changing) {
      header_.changing = index + 1;
      in_order();
    }
    ~Change() {
      in_order();
      header_.changing = before_;
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    FlowTable::Header& header_;
    const std::uint32_t before_;
  };
  // Whatever is stored before it is there if anything that is stored after it is.
  static void in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

  // `hash` is everywhere the key's index_hash().
  void prefetch_bucket(std::uint64_t hash) const { __builtin_prefetch(buckets_ + home_of(hash)); }

  // Where a key may be, by the tags of its home.
  enum class Maybe : std::uint8_t { kNowhere, kHome, kElsewhere };

  // Call it once the bucket has arrived. Fetches the records whose tag fits (nearly always one or
  // none), or else the other bucket if the key may be there.
  Maybe prefetch_record(std::uint64_t hash) const;
  // A second look, where that was kElsewhere: by the tags of the other bucket, which may have to be
  // waited for. False: the key is certainly not in the table.
  [[nodiscard]] bool may_be_elsewhere(std::uint64_t hash) const;

  void prefetch_at(FlowIndex index) const { __builtin_prefetch(records_ + index, 1); }

  // kNoFlow if the key is not there.
  [[nodiscard]] FlowIndex find(const KeyView& key, std::uint64_t hash) const;

  // The key must not be in the table. The record is value-initialised except for its identity; its
  // state is kFree until the caller sets it. Returns kNoFlow if all records are in use, or if the
  // index finds no room, which does not happen with random hashes.
  [[nodiscard]] FlowIndex insert(const FlowKey& key, std::uint64_t hash);

  // Whether a record of another table with the same IndexKey, of a connection with that key, can be
  // whole.
  [[nodiscard]] static bool could_be(const FlowRecord& record, const FlowKey& key,
                                     std::uint64_t hash);

  // Whether the record is in use and has that key.
  [[nodiscard]] bool has_key(FlowIndex index, const KeyView& key, std::uint64_t hash) const {
    return record_identity(records_[index]) == record_identity(key, hash);
  }

  // `index` is a record in use and `hash` belongs to its key.
  void erase(FlowIndex index, std::uint64_t hash);

  // The identity in the record belongs to the table: read it, but never change it.
  [[nodiscard]] FlowRecord& operator[](FlowIndex index) { return records_[index]; }
  [[nodiscard]] const FlowRecord& operator[](FlowIndex index) const { return records_[index]; }

  // Of a record of this table.
  [[nodiscard]] FlowIndex index_of(const FlowRecord& record) const {
    return static_cast<FlowIndex>(&record - records_);
  }
  [[nodiscard]] FlowKey key_of(FlowIndex index) const;

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

  // No record at or above this number is in use. It falls again when the uppermost records are
  // free, by a few with each erase(). So the cost of a sweep over [0, high_water()) follows the
  // records in use now, not those of the past.
  [[nodiscard]] FlowIndex high_water() const { return high_water_; }

  // Entries that stand in their other bucket. Walks the whole index: for tests and benches.
  [[nodiscard]] std::uint32_t displaced() const;

  // Records and index, which is all that IPv4 takes: at most 80 bytes for each of capacity() (from
  // a few hundred records on; a tiny table has a minimum). Another ipv6_bytes() of address space
  // are touched by IPv6 flows only.
  [[nodiscard]] std::size_t bytes() const { return memory_.bytes() + index_memory_.bytes(); }
  [[nodiscard]] std::size_t ipv6_bytes() const { return ipv6_memory_.bytes(); }

 private:
  struct Ipv6Addresses {
    AddressBytes client;
    AddressBytes server;
  };
  static_assert(sizeof(Ipv6Addresses) == 32);

  [[nodiscard]] std::uint32_t home_of(std::uint64_t hash) const {
    return static_cast<std::uint32_t>((hash >> 32) * bucket_count_ >> 32);
  }
  [[nodiscard]] std::uint32_t other_of(std::uint32_t bucket, std::uint16_t tag) const;
  [[nodiscard]] FlowIndex find_in(const FlowBucket& bucket, std::uint16_t tag,
                                  const FlowIdentity& wanted) const;

  [[nodiscard]] bool place(std::uint64_t hash, FlowIndex index);
  [[nodiscard]] bool make_room(std::uint32_t home, std::uint32_t other);
  void move_entry(std::uint32_t from, std::uint32_t slot, std::uint32_t to, std::uint32_t to_slot);
  void set_entry(FlowBucket& bucket, std::uint32_t slot, std::uint16_t tag, FlowIndex index,
                 bool foreign);

  [[nodiscard]] bool is_sound(FlowIndex index, std::uint64_t hash) const;
  // A record that was found good, on its way into the index.
  struct Returning {
    FlowIndex index;
    std::uint64_t hash;
  };
  [[nodiscard]] std::uint64_t hash_of(FlowIndex index, const IndexKey& key) const;
  void enter_again(std::span<const Returning> batch, Found& found);
  [[nodiscard]] bool enter_again(const Returning& record);
  void drop(FlowIndex index, Found& found);
  void chain_free();

  [[nodiscard]] FlowIndex next_free() const;
  void take_record(FlowIndex index);
  void free_record(FlowIndex index);
  void lower_high_water();

  Mapping memory_;
  Mapping ipv6_memory_;
  Mapping index_memory_;  // with an arena; otherwise the index stands behind the records
  Header* header_;
  FlowRecord* records_;
  FlowBucket* buckets_;
  Ipv6Addresses* ipv6_;
  std::uint32_t bucket_count_;
  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  FlowIndex high_water_ = 0;
  FlowIndex free_head_ = kNoFlow;
};

inline std::uint32_t FlowTable::other_of(std::uint32_t bucket, std::uint16_t tag) const {
  // sum - (sum - b) = b modulo the number of buckets, whatever that number is. The multiplier, 2^32
  // over the golden ratio, spreads the 65,535 tags evenly.
  const std::uint32_t spread = std::uint32_t{tag} * 0x9e3779b9U;
  const auto sum = static_cast<std::uint32_t>(std::uint64_t{spread} * bucket_count_ >> 32);
  return sum >= bucket ? sum - bucket : sum + bucket_count_ - bucket;
}

inline FlowIndex FlowTable::find_in(const FlowBucket& bucket, std::uint16_t tag,
                                    const FlowIdentity& wanted) const {
  for (std::uint32_t mask = match_tags(bucket, tag); mask != 0; mask &= mask - 1) {
    const FlowIndex index = bucket.records[static_cast<std::uint32_t>(std::countr_zero(mask))];
    if (record_identity(records_[index]) == wanted) [[likely]]
      return index;
  }
  return kNoFlow;
}

inline FlowIndex FlowTable::find(const KeyView& key, std::uint64_t hash) const {
  const std::uint32_t home = home_of(hash);
  const std::uint16_t tag = tag_of(hash);
  const FlowBucket& bucket = buckets_[home];
  const FlowIdentity wanted = record_identity(key, hash);
  const FlowIndex found = find_in(bucket, tag, wanted);
  if (found != kNoFlow || bucket.displaced == 0) [[likely]]
    return found;
  return find_in(buckets_[other_of(home, tag)], tag, wanted);
}

inline bool FlowTable::may_be_elsewhere(std::uint64_t hash) const {
  const std::uint16_t tag = tag_of(hash);
  return match_tags(buckets_[other_of(home_of(hash), tag)], tag) != 0;
}

inline FlowTable::Maybe FlowTable::prefetch_record(std::uint64_t hash) const {
  const std::uint32_t home = home_of(hash);
  const std::uint16_t tag = tag_of(hash);
  const FlowBucket& bucket = buckets_[home];
  std::uint32_t mask = match_tags(bucket, tag);
  if (mask == 0) {
    if (bucket.displaced == 0) [[likely]]
      return Maybe::kNowhere;
    __builtin_prefetch(buckets_ + other_of(home, tag));
    return Maybe::kElsewhere;
  }
  do {
    const FlowIndex index = bucket.records[static_cast<std::uint32_t>(std::countr_zero(mask))];
    __builtin_prefetch(records_ + index);
    mask &= mask - 1;
  } while (mask != 0);
  return Maybe::kHome;
}

}  // namespace synproxy
