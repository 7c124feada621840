// SPDX-License-Identifier: BSD-3-Clause
// Decides which packets without a flow, besides SYNs, are looked at when more arrive than can be:
// ACKs that may quote a cookie, and ICMP.
//
// Theory of operation. Such a packet may cost three times what it costs to drop it, and next to
// none of a flood's is worth anything. So while a worker does not keep up with reading, and at
// least half of what clients send besides SYNs is of this kind, a falling share of the sources is
// heard (ShareControl). The places are those that the SYNs of the same sources have (shed.h), and
// the window ends a third of a second later: an ACK comes a round trip after its SYN was let
// through. A client that is not heard repeats its data, and the window comes round.
//
// Segments of connections are found before this is asked, and never shed.
#pragma once

#include <cstdint>

#include "synproxy/policy/share_control.h"
#include "synproxy/policy/source_circle.h"

namespace synproxy {

class StatelessShedder {
 public:
  explicit StatelessShedder(const SourceCircle::Key& key) : circle_(key) {}

  // Call it about every millisecond. `overloaded`: since the last tick.
  void tick(std::uint64_t now_ms, bool overloaded) {
    control_.step(now_ms, false, !overloaded);
    circle_.set_time(now_ms);
  }
  [[nodiscard]] bool shedding() const { return !control_.whole(); }
  // `source`: 4 or 16 bytes.
  [[nodiscard]] bool lets_through(const std::uint8_t* source, bool ipv6) const {
    const std::uint64_t hash = circle_.hash_of(source_words(source, ipv6));
    const std::uint32_t behind = circle_.behind_edge(SourceCircle::place_of(hash));
    return behind <= control_.share() || behind > ShareControl::kWhole - kLate;
  }

 private:
  static constexpr std::uint32_t kLate = 333 * SourceCircle::kTurnPerMs;

  ShareControl control_;
  SourceCircle circle_;
};

}  // namespace synproxy
