// SPDX-License-Identifier: BSD-3-Clause
// When plain cookies get tight, and when they are as usual again (--tight-cookies, docs/cookie.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace synproxy::control {

class TightCookies {
 public:
  // The attack is over after so long with fewer than half of the mark.
  static constexpr std::uint64_t kCalmMs = 60'000;

  struct Service {
    std::string name;           // empty: all that have none
    std::uint64_t invalid = 0;  // cookies, since the start
  };
  // The attack has begun or is over.
  struct News {
    bool began = false;
    std::string service{};  // that it is on
    std::uint64_t rate = 0;
    std::uint32_t mark = 0;
  };

  // To be called about once a second, with the same services. `mark`: --tight-cookies, invalid
  // cookies of a service a second; 0: there is no attack. A change to that brings no news.
  [[nodiscard]] std::optional<News> look(std::span<const Service> services, std::uint32_t mark,
                                         std::uint64_t now_ms);
  [[nodiscard]] bool attacked() const { return attacked_; }

 private:
  std::vector<std::uint64_t> before_;
  std::uint64_t before_ms_ = 0;
  bool attacked_ = false;
  std::uint64_t calm_since_ms_ = 0;
};

// The line to log. `wait_ms`: until the cookies change.
[[nodiscard]] std::string tight_cookies_line(const TightCookies::News& news, bool monitored,
                                             std::uint64_t wait_ms);

}  // namespace synproxy::control
