// SPDX-License-Identifier: BSD-3-Clause
// Limits the challenge ACKs to one a second for each flow (RFC 5961 section 7).
//
// It has its own memory. The flow's mark may not serve for it: a client that has been given a
// SYN-ACK sends no second SYN, so a challenge must not cost it the mark of that second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/flow/record.h"

namespace synproxy {

class ChallengeLimit {
 public:
  // Whether the flow may be challenged now. Of two flows that share a place, each may be challenged
  // again once the other was: nobody can keep a place from a flow.
  [[nodiscard]] bool take(FlowIndex flow, std::uint32_t now_ms) {
    Place& p = places_[flow % kPlaces];
    if (p.flow == flow && now_ms - p.challenged_ms < 1000) return false;
    p = {flow, now_ms};
    return true;
  }

 private:
  static constexpr std::size_t kPlaces = 1024;
  struct Place {
    FlowIndex flow = kNoFlow;
    std::uint32_t challenged_ms = 0;
  };
  std::array<Place, kPlaces> places_;
};

}  // namespace synproxy
