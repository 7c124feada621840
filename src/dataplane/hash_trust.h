// SPDX-License-Identifier: BSD-3-Clause
// Whether the RSS hashes that a device reports may stand in for our own.
//
// Both name the same owner unless the device is wrong, so no connection moves when trust begins or
// ends. A device must first be right kProofs times, and one frame of every burst is always checked.
// After one wrong hash of a family, its hashes of that family are never trusted again.
#pragma once

#include <cstdint>

#include "dataplane/rss_hash.h"

namespace synproxy::dataplane {

class HashTrust {
 public:
  static constexpr std::uint32_t kProofs = 64;

  void judge(PlainTcp family, bool right) {
    std::uint32_t& missing = missing_[place(family)];
    if (!right) {
      missing = kNever;
    } else if (missing != kNever && missing != 0) {
      --missing;
    }
  }
  [[nodiscard]] bool trusted(PlainTcp family) const { return missing_[place(family)] == 0; }

 private:
  static constexpr std::uint32_t kNever = UINT32_MAX;
  static constexpr std::size_t place(PlainTcp family) { return family == PlainTcp::kIpv6 ? 1 : 0; }

  std::uint32_t missing_[2] = {kProofs, kProofs};  // proofs, by family
};

}  // namespace synproxy::dataplane
