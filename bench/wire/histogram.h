// SPDX-License-Identifier: BSD-3-Clause
// Latencies in buckets that are never wider than 1/64 of their value; fixed size, no allocation.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace synproxy::generator {

class Histogram {
 public:
  void add(std::uint64_t value) {
    ++buckets_[bucket_of(value)];
    ++count_;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
  }
  void clear() { *this = Histogram(); }

  // The middle of the bucket in which the share `p` (0 to 1) of all values ends.
  [[nodiscard]] double percentile(double p) const {
    const auto wanted = static_cast<std::uint64_t>(p * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted || (seen == count_ && seen != 0)) return middle(i);
    }
    return 0;
  }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr std::size_t kHalf = std::size_t{1} << kBits;

  // Below 2 * kHalf, one bucket per value; above, kHalf buckets per power of two.
  static std::size_t bucket_of(std::uint64_t v) {
    const auto width = static_cast<unsigned>(std::bit_width(v));
    const unsigned shift = width > kBits + 1 ? width - kBits - 1 : 0U;
    return shift * kHalf + static_cast<std::size_t>(v >> shift);
  }
  static double middle(std::size_t bucket) {
    if (bucket < 2 * kHalf) return static_cast<double>(bucket);
    const std::size_t shift = bucket / kHalf - 1;
    const auto low = static_cast<double>(bucket - shift * kHalf);
    return (low + 0.5) * static_cast<double>(std::uint64_t{1} << shift);
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kHalf> buckets_{};
  std::uint64_t count_ = 0;
};

}  // namespace synproxy::generator
