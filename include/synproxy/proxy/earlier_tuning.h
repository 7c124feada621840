// SPDX-License-Identifier: BSD-3-Clause
// What earlier tunings have promised and clients may still rely on.
//
// A new tuning applies to what is decided from now on. Promises are kept until the cookie expires:
// it covers the window scale that its SYN-ACK offered, and the client counts on the window of its
// SYN-ACK. So both are remembered for the epoch of the change and the next one, as scales are that
// change by learning (ServiceTable). Other settings promise nothing: a cookie carries its MSS and
// options itself, and timeouts are read where they are applied. (An end has its time to answer a
// keepalive under any of them: it counts from the keepalive.)
#pragma once

#include <algorithm>
#include <cstdint>

#include "synproxy/base/config.h"
#include "synproxy/cookie/cookie.h"

namespace synproxy {

class EarlierTuning {
 public:
  // `from` gives way to `to`. Promises of several changes add up.
  void changed(const EngineTuning& from, const EngineTuning& to, std::uint64_t epoch,
               std::uint64_t now_ms) {
    if (!binds(epoch)) forget();
    epoch_ = epoch;
    if (from.offer.window_scale == kAutoScale) {
      learned_scales_ = true;
    } else {
      scales_ = static_cast<ScaleSet>(scales_ | scale_set(from.offer.window_scale));
    }
    least_window_ = std::min(least_window_, from.early_window);
    most_window_ = std::max(most_window_, from.early_window);
    most_mss_ = std::max(most_mss_, from.offer.mss);
    if (from.offer != to.offer) offer_changed_ms_ = now_ms;
  }

  // Scales of earlier cookies that may still be alive: those that were set by a flag, and whether
  // learned ones count too.
  [[nodiscard]] ScaleSet scales(std::uint64_t epoch) const {
    return binds(epoch) ? scales_ : ScaleSet{0};
  }
  [[nodiscard]] bool learned_scales(std::uint64_t epoch) const {
    return binds(epoch) && learned_scales_;
  }
  // The largest MSS that was set by a flag.
  [[nodiscard]] std::uint16_t most_mss(std::uint64_t epoch) const {
    return binds(epoch) ? most_mss_ : std::uint16_t{0};
  }
  // The smallest and the largest early window that a client may have been shown.
  [[nodiscard]] std::uint32_t least_window(const EngineTuning& now, std::uint64_t epoch) const {
    return binds(epoch) ? std::min(now.early_window, least_window_) : now.early_window;
  }
  [[nodiscard]] std::uint32_t most_window(const EngineTuning& now, std::uint64_t epoch) const {
    return binds(epoch) ? std::max(now.early_window, most_window_) : now.early_window;
  }

  // Whether the offers are the same as at `then`, in milliseconds modulo 2^32 and less than 2^31
  // ago. If so, a SYN sent then asked for what a SYN would ask for now.
  [[nodiscard]] bool same_offer_since(std::uint32_t then, std::uint64_t now_ms) const {
    return now_ms - offer_changed_ms_ > static_cast<std::uint32_t>(now_ms) - then;
  }

 private:
  static constexpr std::uint64_t kNever = 1ULL << 63;  // modulo 2^64, further back than any time

  [[nodiscard]] bool binds(std::uint64_t epoch) const { return epoch <= epoch_ + 1; }
  void forget() {
    scales_ = 0;
    learned_scales_ = false;
    least_window_ = ~0U;
    most_window_ = 0;
    most_mss_ = 0;
  }

  ScaleSet scales_ = 0;
  bool learned_scales_ = false;
  std::uint32_t least_window_ = ~0U;
  std::uint32_t most_window_ = 0;
  std::uint16_t most_mss_ = 0;
  std::uint64_t epoch_ = 0;  // of the last change
  std::uint64_t offer_changed_ms_ = kNever;
};

}  // namespace synproxy
