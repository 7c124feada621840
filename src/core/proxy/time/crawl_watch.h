// SPDX-License-Identifier: BSD-3-Clause
// Finds servers that crawl: that have more to send, lose nothing, and yet have less and less under
// way. A server with BBR whose handshake has shown it the round trip to the proxy does so for ten
// seconds: it begins with 100 to 200 KB under way and goes down to 20 or 30 KB, whatever the
// client's round trip (docs/conformance.md). A server that sizes its window by losses never shrinks
// it without a loss. The sweep passes every record anyway, so this costs nothing per packet. A few
// flows at a time are watched.
//
// A server that first has much and then little to send at any moment, to a distant client, looks
// the same. It is then treated like one that crawls, which costs it one more SYN per connection.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "synproxy/flow/record.h"
#include "synproxy/flow/table.h"

namespace synproxy {

class CrawlWatch {
 public:
  // Looks at the established flow `i`. True: its server crawls. `now_ms`: of the worker's clock
  // modulo 2^32.
  bool look(FlowIndex i, const FlowRecord& f, std::uint32_t now_ms) {
    Watched& w = watched_[i % kWatched];
    const std::uint32_t under_way = f.server_nxt - f.acked_by_client();
    if (!w.is(i, f)) {
      if (under_way < kMuch || (w.low && now_ms - w.looked_ms < kStaleMs)) return false;
      w = {.index = i, .cookie = f.cookie};
    }
    w.looked_ms = now_ms;
    w.peak = std::max(w.peak, under_way);
    if (under_way > w.peak / (w.low ? kGrown : kShrunk)) {
      w.low = false;
      return false;
    }
    if (!w.low) {
      w = {.index = i,
           .cookie = f.cookie,
           .peak = w.peak,
           .low = true,
           .looked_ms = now_ms,
           .low_since_ms = now_ms,
           .low_at = f.server_nxt};
    }
    ++w.looks;
    w.busy_looks += under_way != 0 ? 1U : 0U;
    if (now_ms - w.low_since_ms < kLowMs) return false;
    const std::uint32_t sent = f.server_nxt - w.low_at;
    const bool crawls = sent >= kGoesOn && sent < kMost && 4 * w.busy_looks >= 3 * w.looks;
    w = {};
    return crawls;
  }

  // The server has sent something again: a loss explains a small window.
  void lost(FlowIndex i) {
    Watched& w = watched_[i % kWatched];
    if (w.index == i) w = {};
  }

 private:
  static constexpr std::uint32_t kMuch = 65536;  // bytes under way, of a window that has grown
  static constexpr std::uint32_t kShrunk = 3;    // then at most one part in so many
  static constexpr std::uint32_t kGrown = 2;     // until it is more than this part again
  static constexpr std::uint32_t kLowMs = 1000;
  static constexpr std::uint32_t kGoesOn = 32768;    // bytes sent meanwhile
  static constexpr std::uint32_t kMost = 1U << 26;   // else this is another connection
  static constexpr std::uint32_t kStaleMs = 10'000;  // a place that was not looked at is free
  static constexpr std::size_t kWatched = 16;

  struct Watched {
    FlowIndex index = 0;
    std::uint32_t cookie = 0;
    std::uint32_t peak = 0;  // most bytes under way; 0: a free place
    bool low = false;        // the rest is of a watched flow whose window has shrunk
    std::uint32_t looked_ms = 0;
    std::uint32_t low_since_ms = 0;
    std::uint32_t low_at = 0;  // server_nxt then
    std::uint32_t looks = 0;
    std::uint32_t busy_looks = 0;

    [[nodiscard]] bool is(FlowIndex i, const FlowRecord& f) const {
      return peak != 0 && index == i && cookie == f.cookie;
    }
  };
  std::array<Watched, kWatched> watched_{};
};

}  // namespace synproxy
