// SPDX-License-Identifier: BSD-3-Clause
// Proves an ACK: finds whether the cookie that it quotes fits, for a connection without a flow or
// for a later connection on a flow's addresses. Nothing is opened here; admit() decides that.
#pragma once

#include <optional>

#include "burst/packet_context.h"
#include "flows/flow_book.h"
#include "syn/answerer.h"

namespace synproxy {

// How often a blind attacker may guess against one mark. The number fits FlowRecord::mark_tries().
inline constexpr unsigned kMaxMarkTries = 15;
// How many of these may be spent on another ISN than the mark's, on an adopted flow.
inline constexpr unsigned kMaxOtherTries = 8;

// Whether the segment carries numbers of the connection that the mark announces.
[[nodiscard]] inline bool is_of_mark(const FlowRecord& f, const Segment& g) {
  constexpr std::uint32_t kOpeningWindow = 0x10000;  // no SYN-ACK shows a larger window
  return f.has(kFlowMarked) && g.seq - SeqNum(f.mark_isn) <= kOpeningWindow;
}

// Fills the plan, except its keys. True: the ACK has no timestamps, and its service gives some, so
// they may have been taken away.
[[nodiscard]] inline bool plan_ack(const Moment& now, Answerer& answerer, const Context& c,
                                   AckPlan& plan) {
  const Segment& g = c.segment;
  const SynAckOffer& offer = answerer.offer(now, c.key(), c.service);
  plan.timestamps = find_timestamps(g.options(), g.options_size());
  plan.scales = offer.scales;
  return !plan.timestamps.present && offer.has(kOffersTimestamps);
}

// The cookie that an ACK quotes, for ISN seq - 1 or, if it may be a probe, for ISN seq. Uses the
// MACs of the burst, or computes them now where the packet had none.
[[nodiscard]] CookieMatch match_cookie(const Moment& now, Answerer& answerer, const Context& c);

// The cookie of a later handshake on the addresses of a flow that is over or given up. A duplicate
// of the flow's own handshake ACK does not count. The handshake may have the flow's ISN
// (same_isn.h).
[[nodiscard]] std::optional<CookieMatch> match_successor(const Moment& now, Answerer& answerer,
                                                         const FlowRecord& f, const Context& c);
// The same for a live flow, for the marked ISN only, or while the server is silent for the flow's
// own. Counts failed tries.
//
// An adopted flow may be younger than the SYN-ACK: a late segment of the server was enough to adopt
// it. And its mark may be a late copy of its own SYN, whose ISN nobody knows. So there any ISN
// counts for a few tries. Segments of the mark are the exception: they are ahead of its handshake
// ACK.
[[nodiscard]] std::optional<CookieMatch> match_marked(const Moment& now, Answerer& answerer,
                                                      FlowRecord& f, const Context& c);

}  // namespace synproxy
