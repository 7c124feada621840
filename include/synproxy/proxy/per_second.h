// SPDX-License-Identifier: BSD-3-Clause
// So many in a second, and no more.
#pragma once

#include <cstdint>

namespace synproxy {

class PerSecond {
 public:
  explicit PerSecond(std::uint32_t most) : most_(most) {}
  // `now_ms`: of the worker's clock modulo 2^32. False: this second has had its share.
  [[nodiscard]] bool take(std::uint32_t now_ms) {
    if (now_ms - began_ms_ >= 1000) {
      began_ms_ = now_ms;
      used_ = 0;
    }
    if (used_ == most_) return false;
    ++used_;
    return true;
  }

 private:
  std::uint32_t most_;
  std::uint32_t began_ms_ = 0;
  std::uint32_t used_ = 0;
};

}  // namespace synproxy
