// SPDX-License-Identifier: BSD-3-Clause
// What the proxy's SYNs offered the server, conversation by conversation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "links.h"

namespace synproxy::test::sim {

class Offers {
 public:
  void note(const DecodedFrame& syn) {
    const unsigned options = (syn.timestamps.empty() ? 0U : 1U) | (syn.sack_permitted ? 2U : 0U) |
                             (syn.window_scale ? 4U : 0U) | (syn.has(kEce) ? 8U : 0U);
    Offer& o = of_.try_emplace(syn.seq, Offer{options, false}).first->second;
    o.twice = o.twice || o.options != options;
    o.options = options;
    varied_ = varied_ || (last_ && *last_ != options);
    last_ = options;
  }
  // The options differ from before: the proxy asked for more at first, to learn what the server can
  // do, or it has passed the client's own SYN, because the service was in doubt.
  [[nodiscard]] bool asked_twice(Conversation c) const {
    if (!c) return false;
    const auto it = of_.find(*c);
    return it != of_.end() && it->second.twice;
  }
  // Some SYN offered something else than the one before it, of whatever conversation.
  [[nodiscard]] bool varied() const { return varied_; }

 private:
  struct Offer {
    unsigned options;
    bool twice;
  };
  std::map<std::uint32_t, Offer> of_;  // by the client's ISN
  std::optional<unsigned> last_;
  bool varied_ = false;
};

}  // namespace synproxy::test::sim
