// SPDX-License-Identifier: BSD-3-Clause
#include "ack/prove_ack.h"

#include "syn/same_isn.h"

namespace synproxy {
namespace {

// `timestamps`: the ACK's.
CookieMatch match_isn(const Moment& now, Answerer& answerer, const Context& c,
                      const Timestamps& timestamps, std::uint32_t client_isn) {
  const Segment& g = c.segment;
  AckPlan plan;
  plan.keys = now.keys().for_parity(cookie_parity((g.ack - 1).value()));
  if (plan.keys == nullptr) return {};
  plan.timestamps = timestamps;
  plan.scales = scales_offered(now, answerer, c);
  const LayoutKey& key = key_of_layout(*plan.keys, timestamps.present);
  const MacInput in = cookie_mac_input(c.key(), client_isn);
  const std::uint64_t mac =
      cover_vlan(siphash24(key.k0, key.k1, in.words.data(), in.count), key, g.vlan);
  (void)match_mac(plan, g.ack.value(), mac, client_isn, plan.match);
  return plan.match;
}

Timestamps timestamps_of(const Segment& g) {
  return find_timestamps(g.options(), g.options_size());
}

// Whether the segment may be the ACK of a handshake that began with `isn`. The byte of a keepalive
// or of a zero-window probe lies before the first one.
bool carries_isn(const Segment& g, std::uint32_t isn) {
  const std::uint32_t ahead = g.seq.value() - isn;
  return ahead == 1 || (ahead == 0 && g.payload_length <= 1);
}

CookieMatch match_renewed(const Moment& now, Answerer& answerer, const FlowRecord& f,
                          const Context& c, const Timestamps& timestamps) {
  CookieMatch m = match_isn(now, answerer, c, timestamps, renewed_isn(f));
  m.client_isn = f.client_isn;
  return m;
}

}  // namespace

CookieMatch match_cookie(const Moment& now, Answerer& answerer, const Context& c) {
  if (c.ack.macs != 0) return c.ack.match;
  const Segment& g = c.segment;
  const Timestamps timestamps = timestamps_of(g);
  const CookieMatch m = match_isn(now, answerer, c, timestamps, (g.seq - 1).value());
  if (m.valid || g.payload_length > 1) return m;
  return match_isn(now, answerer, c, timestamps, g.seq.value());
}

std::optional<CookieMatch> match_successor(const Moment& now, Answerer& answerer,
                                           const FlowRecord& f, const Context& c) {
  const Segment& g = c.segment;
  if ((f.options & kFlowOutbound) == 0) {
    if (g.ack == SeqNum(f.cookie + 1)) return std::nullopt;
    if (carries_isn(g, f.client_isn)) {
      const CookieMatch m = match_renewed(now, answerer, f, c, timestamps_of(g));
      if (m.valid) return m;
    }
  }
  const CookieMatch m = match_cookie(now, answerer, c);
  if (!m.valid) return std::nullopt;
  return m;
}

std::optional<CookieMatch> match_marked(const Moment& now, Answerer& answerer, FlowRecord& f,
                                        const Context& c) {
  const Segment& g = c.segment;
  // While the server is silent, a client that boots with its old ISN may have been given another
  // cookie, of the next epoch.
  const bool silent = f.state() == FlowState::kSynSent;
  if (!(silent || f.has(kFlowMarked)) || !g.has(kAck)) return std::nullopt;
  const std::uint32_t isn = f.has(kFlowMarked) ? f.mark_isn : f.client_isn;
  if (!carries_isn(g, isn)) return std::nullopt;
  if (f.mark_tries() == kMaxMarkTries) return std::nullopt;  // until the next mark
  const Timestamps timestamps = timestamps_of(g);
  if (f.state() != FlowState::kSynSent && timestamps.present != f.has(kFlowMarkTimestamps)) {
    return std::nullopt;
  }
  // A flow that took its own ISN for a mark was over then, and has come back to life since.
  const bool renewed = !silent && isn == f.client_isn;
  const CookieMatch m = renewed ? match_renewed(now, answerer, f, c, timestamps)
                                : match_isn(now, answerer, c, timestamps, isn);
  if (m.valid) return m;
  f.set_mark_tries(f.mark_tries() + 1);
  return std::nullopt;
}

}  // namespace synproxy
