// SPDX-License-Identifier: BSD-3-Clause
// Remembers which keys were inserted or erased since the burst began, by classes of their hashes. A
// look-up whose class is not noted is still right.
#pragma once

#include <array>
#include <cstdint>

namespace synproxy {

class TableChanges {
 public:
  void clear() { classes_ = {}; }
  void note(std::uint64_t hash) { word(hash) |= bit(hash); }
  [[nodiscard]] bool any() const {
    return (classes_[0] | classes_[1] | classes_[2] | classes_[3]) != 0;
  }
  [[nodiscard]] bool touch(std::uint64_t hash) const {
    return (classes_[hash >> 14 & 3U] & bit(hash)) != 0;
  }

 private:
  // A class is eight bits of the hash. The hash is keyed, so a flood cannot aim at a class.
  [[nodiscard]] static std::uint64_t bit(std::uint64_t hash) { return 1ULL << (hash >> 8 & 63U); }
  [[nodiscard]] std::uint64_t& word(std::uint64_t hash) { return classes_[hash >> 14 & 3U]; }

  std::array<std::uint64_t, 4> classes_{};
};

}  // namespace synproxy
