// SPDX-License-Identifier: BSD-3-Clause
#include "control/tight_cookies.h"

#include <algorithm>

namespace synproxy::control {

std::optional<TightCookies::News> TightCookies::look(std::span<const Service> services,
                                                     std::uint32_t mark, std::uint64_t now_ms) {
  const bool looked = before_.size() == services.size() && now_ms > before_ms_;
  News worst{.began = true, .mark = mark};
  for (std::size_t i = 0; looked && i < services.size(); ++i) {
    const std::uint64_t more = services[i].invalid - std::min(before_[i], services[i].invalid);
    const std::uint64_t rate = more * 1000 / (now_ms - before_ms_);
    if (rate > worst.rate) {
      worst.rate = rate;
      worst.service = services[i].name;
    }
  }
  before_.clear();
  for (const Service& s : services) before_.push_back(s.invalid);
  before_ms_ = now_ms;

  if (mark == 0) {
    attacked_ = false;
    return std::nullopt;
  }
  if (2 * worst.rate >= mark) calm_since_ms_ = now_ms;
  if (!attacked_ && worst.rate > mark) {
    attacked_ = true;
    return worst;
  }
  if (attacked_ && now_ms - calm_since_ms_ >= kCalmMs) {
    attacked_ = false;
    return News{.mark = mark};
  }
  return std::nullopt;
}

std::string tight_cookies_line(const TightCookies::News& news, bool monitored,
                               std::uint64_t wait_ms) {
  const std::string in = std::to_string((wait_ms + 999) / 1000) + " s";
  std::string what = "cookies without timestamps are ";
  if (monitored) what = "--monitor tight-cookies: " + what;
  if (!news.began) {
    what += monitored ? "as usual and would stay so" : "as usual again in " + in;
    return what + ": for " + std::to_string(TightCookies::kCalmMs / 1000) +
           " s fewer than half of --tight-cookies " + std::to_string(news.mark) + " came";
  }
  what += monitored ? "as usual and would be tight in " + in : "tight in " + in;
  return what + ": " + std::to_string(news.rate) + " invalid cookies a second" +
         (news.service.empty() ? "" : " of " + news.service) + " are more than --tight-cookies " +
         std::to_string(news.mark);
}

}  // namespace synproxy::control
