// SPDX-License-Identifier: BSD-3-Clause
// Cycles of the time-stamp counter per operation: the median over the iterations of a bench, so
// that iterations in which the kernel took the core away do not matter. Make an iteration thousands
// of cycles long, so that the time to read the counter does not matter either.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

class MedianCycles {
 public:
  MedianCycles() { samples_.reserve(kKept); }

  void start() {
    _mm_lfence();
    begin_ = __rdtsc();
  }
  void stop() {
    unsigned cpu = 0;
    add(__rdtscp(&cpu) - begin_);
  }
  // One iteration measured in pieces.
  void add(std::uint64_t cycles) {
    if (samples_.size() < kKept) {
      samples_.push_back(cycles);
    } else {
      samples_[next_] = cycles;
      next_ = (next_ + 1) % kKept;
    }
  }
  // `name` names the counter; an iteration does `operations` operations.
  void report(benchmark::State& state, const char* name, std::size_t operations) {
    if (samples_.empty()) {
      return;
    }
    const auto middle = samples_.begin() + static_cast<std::ptrdiff_t>(samples_.size() / 2);
    std::nth_element(samples_.begin(), middle, samples_.end());
    state.counters[name] = static_cast<double>(*middle) / static_cast<double>(operations);
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(operations));
  }

 private:
  static constexpr std::size_t kKept = 1U << 14;

  std::vector<std::uint64_t> samples_;
  std::size_t next_ = 0;
  std::uint64_t begin_ = 0;
};
