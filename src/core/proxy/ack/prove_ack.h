// SPDX-License-Identifier: BSD-3-Clause
// An ACK is proven: the cookie that it quotes fits, for a connection without a flow or for a later
// one on a flow's addresses. Nothing is opened here: that is for admit() to allow.
#pragma once

#include <optional>

#include "burst/packet_context.h"
#include "flows/flow_book.h"
#include "syn/answerer.h"

namespace synproxy {

// What a blind attacker gets against one mark; it fits FlowRecord::mark_tries().
inline constexpr unsigned kMaxMarkTries = 15;

// The scales that the SYN-ACK of a client's cookie may have offered.
[[nodiscard]] inline ScaleSet scales_offered(const Moment& now, Answerer& answerer,
                                             const Context& c) {
  const KeyView key = c.key();
  const SynAckOffer* known = answerer.known_offer(now, c.service, key.server);
  if (known != nullptr) [[likely]] {
    return known->scales;
  }
  return answerer.offer(now, key).scales;
}

// The cookie that an ACK quotes, for ISN seq - 1 or, on a probe, seq: as the MACs of the burst have
// shown, or computed now where the packet had none.
[[nodiscard]] CookieMatch match_cookie(const Moment& now, Answerer& answerer, const Context& c);

// The cookie of a later handshake on a flow's addresses. Of any ISN but the flow's own, where the
// flow is over or given up: a duplicate of its own handshake ACK is no successor.
[[nodiscard]] std::optional<CookieMatch> match_successor(const Moment& now, Answerer& answerer,
                                                         const FlowRecord& f, const Context& c);
// Of the marked ISN, where the flow lives. Counts the tries in vain.
[[nodiscard]] std::optional<CookieMatch> match_marked(const Moment& now, Answerer& answerer,
                                                      FlowRecord& f, const Context& c);

}  // namespace synproxy
