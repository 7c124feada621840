// SPDX-License-Identifier: BSD-3-Clause
// The least that the frames of a pass can cost: their lines, a bucket and a record each are fetched
// as well as one can, touched and written back, and nothing is computed. What a row costs beside
// its floor holds on any machine; what it costs in cycles is the machine's.
//
// Theory of operation. The frames are those that the engine has just had, in the same order, so
// what is left of them in the caches is what prepare() had left for the engine. Buckets and records
// are of another memory of the same size and kind, because the engine's own are warm now, and in
// another random order. While the lines of one burst are touched, those of the next one are on
// their way.
#pragma once

#include <cstdint>
#include <vector>

#include "datapath/bed.h"
#include "synproxy/flow/mapping.h"

namespace synproxy::bench {

// What a packet of a case has to touch, besides the lines of its headers.
struct Touches {
  bool written = false;  // the frame leaves
  bool bucket = true;
  bool record = false;  // and writes it
};
inline constexpr Touches kTouchesAll{.written = true, .bucket = true, .record = true};
inline constexpr Touches kTouchesFrame{.bucket = false};  // and only reads it

class Floor {
 public:
  // As the engine of such a bed lays out its memory. Throws std::bad_alloc.
  explicit Floor(const BedConfig& config);
  Cost run(const Bed& bed, const Touches& touches);

 private:
  static constexpr std::size_t kLine = 64;
  // Ethernet, the longest IP header without extensions, TCP with the options of segments.
  static constexpr std::size_t kHeaders = 14 + 40 + 32;

  struct Spot {
    std::uint8_t* frame;
    std::uint32_t lines;
    std::uint32_t bucket;
    std::uint32_t record;
  };
  void collect(const Bed& bed);
  template <bool kWritten, bool kBucket, bool kRecord>
  Cost measure();
  template <bool kBucket, bool kRecord>
  void fetch(std::size_t begin, std::size_t end) const;
  template <bool kWritten, bool kBucket, bool kRecord>
  std::uint64_t touch(std::size_t begin, std::size_t end);

  std::uint32_t buckets_in_use_;
  std::uint32_t records_in_use_;
  Mapping buckets_;
  Mapping records_;
  std::uint8_t* bucket_lines_;
  std::uint8_t* record_lines_;
  std::uint64_t seed_ = 1;
  std::vector<Spot> spots_;
  std::uint64_t seen_ = 0;  // keeps what is read
};

// Made at the first request and then kept. Beds with tables of the same size share one.
[[nodiscard]] Floor& floor_for(const BedConfig& config);

}  // namespace synproxy::bench
