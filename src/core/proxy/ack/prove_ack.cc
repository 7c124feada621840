// SPDX-License-Identifier: BSD-3-Clause
#include "ack/prove_ack.h"

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
  if ((f.options & kFlowOutbound) == 0 && c.segment.ack == SeqNum(f.cookie + 1)) {
    return std::nullopt;
  }
  const CookieMatch m = match_cookie(now, answerer, c);
  if (!m.valid) return std::nullopt;
  return m;
}

std::optional<CookieMatch> match_marked(const Moment& now, Answerer& answerer, FlowRecord& f,
                                        const Context& c) {
  const Segment& g = c.segment;
  if (!f.has(kFlowMarked) || !g.has(kAck)) return std::nullopt;
  const std::uint32_t ahead = g.seq.value() - f.mark_isn;
  if (ahead > 1 || (ahead == 0 && g.payload_length > 1)) return std::nullopt;
  if (f.mark_tries() == kMaxMarkTries) return std::nullopt;  // until the next mark
  const Timestamps timestamps = timestamps_of(g);
  if (f.state() != FlowState::kSynSent && timestamps.present != f.has(kFlowMarkTimestamps)) {
    return std::nullopt;
  }
  const CookieMatch m = match_isn(now, answerer, c, timestamps, f.mark_isn);
  if (m.valid) return m;
  f.set_mark_tries(f.mark_tries() + 1);
  return std::nullopt;
}

}  // namespace synproxy
