// SPDX-License-Identifier: BSD-3-Clause
// Random numbers from a seed: the same on every machine, and cheap to start (SplitMix64).
#pragma once

#include <cstdint>

namespace synproxy::test::sim {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0xd1342543de82ef95ULL + 1) {}

  std::uint64_t next() {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
  }
  std::uint32_t operator()(std::uint32_t n) {
    return n == 0 ? 0 : static_cast<std::uint32_t>(next() % n);
  }
  bool chance(std::uint32_t percent) { return (*this)(100) < percent; }
  bool permille(std::uint32_t n) { return (*this)(1000) < n; }
  // Half of the numbers are near the wrap.
  std::uint32_t word() {
    return chance(50) ? static_cast<std::uint32_t>(next()) : 0U - (*this)(20'000);
  }

 private:
  std::uint64_t state_;
};

}  // namespace synproxy::test::sim
