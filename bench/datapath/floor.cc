// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/floor.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>

#include "common/core_time.h"
#include "common/huge_pages.h"
#include "common/tsc.h"

namespace synproxy::bench {
namespace {

// A bed of no standing connections opens and ends about as many at a time.
constexpr std::uint32_t kConnectionsOfAPass = 8192;

// flow/table.h: three buckets for sixteen records.
std::uint32_t buckets_for(std::uint32_t records) { return records / 16 * 3 + 3; }

}  // namespace

Floor::Floor(const BedConfig& config)
    : buckets_in_use_(buckets_for(config.max_flows)),
      records_in_use_(std::max(config.flows, kConnectionsOfAPass)),
      buckets_(buckets_in_use_ * kLine, Mapping::Kind::kReserved),
      records_(records_in_use_ * kLine, Mapping::Kind::kReserved),
      bucket_lines_(static_cast<std::uint8_t*>(buckets_.data())),
      record_lines_(static_cast<std::uint8_t*>(records_.data())) {
  // Takes their pages now.
  std::memset(bucket_lines_, 1, buckets_.bytes());
  std::memset(record_lines_, 1, records_.bytes());
}

void Floor::collect(const Bed& bed) {
  spots_.clear();
  Random random(seed_++);
  for (const Role side : {Role::kClient, Role::kServer}) {
    for (std::size_t i = 0; i < bed.queued(side); ++i) {
      const Packet& p = bed.packet(side, i);
      const std::size_t headers = std::min<std::size_t>(p.length, kHeaders);
      spots_.push_back({p.data, static_cast<std::uint32_t>((headers + kLine - 1) / kLine),
                        random.below(buckets_in_use_), random.below(records_in_use_)});
    }
  }
}

template <bool kBucket, bool kRecord>
void Floor::fetch(std::size_t begin, std::size_t end) const {
  for (std::size_t i = begin; i < end; ++i) {
    const Spot& s = spots_[i];
    for (std::uint32_t line = 0; line < s.lines; ++line) {
      __builtin_prefetch(s.frame + line * kLine);
    }
    if constexpr (kBucket) __builtin_prefetch(bucket_lines_ + s.bucket * kLine);
    if constexpr (kRecord) __builtin_prefetch(record_lines_ + s.record * kLine, 1);
  }
}

template <bool kWritten, bool kBucket, bool kRecord>
std::uint64_t Floor::touch(std::size_t begin, std::size_t end) {
  std::uint64_t seen = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const Spot& s = spots_[i];
    for (std::uint32_t line = 0; line < s.lines; ++line) {
      auto word = load_raw<std::uint64_t>(s.frame + line * kLine);
      seen += word;
      if constexpr (kWritten) std::memcpy(s.frame + line * kLine, &++word, sizeof word);
    }
    if constexpr (kBucket) seen += load_raw<std::uint64_t>(bucket_lines_ + s.bucket * kLine);
    if constexpr (kRecord) {
      auto word = load_raw<std::uint64_t>(record_lines_ + s.record * kLine);
      seen += word;
      std::memcpy(record_lines_ + s.record * kLine, &++word, sizeof word);
    }
  }
  return seen;
}

template <bool kWritten, bool kBucket, bool kRecord>
Cost Floor::measure() {
  Cost cost;
  cost.packets = static_cast<std::uint32_t>(spots_.size());
  const long switches = context_switches();
  const std::uint64_t begin = read_tsc();
  std::uint64_t last = begin;
  fetch<kBucket, kRecord>(0, std::min<std::size_t>(kMaxBurst, spots_.size()));
  for (std::size_t at = 0; at < spots_.size(); at += kMaxBurst) {
    const std::size_t end = std::min(at + kMaxBurst, spots_.size());
    fetch<kBucket, kRecord>(end, std::min(end + kMaxBurst, spots_.size()));
    seen_ += touch<kWritten, kBucket, kRecord>(at, end);
    // The engine's bursts are timed too.
    last = read_tsc();
  }
  cost.cycles = last - begin;
  cost.interrupted = context_switches() != switches;
  return cost;
}

Cost Floor::run(const Bed& bed, const Touches& t) {
  collect(bed);
  if (t.record) return t.written ? measure<true, true, true>() : measure<false, true, true>();
  if (t.bucket) return t.written ? measure<true, true, false>() : measure<false, true, false>();
  return t.written ? measure<true, false, false>() : measure<false, false, false>();
}

Floor& floor_for(const BedConfig& config) {
  static std::map<std::tuple<std::uint32_t, std::uint32_t, bool>, std::unique_ptr<Floor>> all;
  auto& floor = all[{config.flows, config.max_flows, config.huge_pages}];
  if (!floor) {
    const NoHugePages pages(!config.huge_pages);
    floor = std::make_unique<Floor>(config);
  }
  return *floor;
}

}  // namespace synproxy::bench
