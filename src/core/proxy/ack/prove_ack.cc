// SPDX-License-Identifier: BSD-3-Clause
#include "ack/prove_ack.h"

#include "syn/same_isn.h"

namespace synproxy {
namespace {

bool match_isn(AckPlan& plan, const Context& c, std::uint32_t covered_isn, bool stripped) {
  const LayoutKey& key = key_of_match(plan, stripped);
  const std::uint64_t mac = siphash24(key.k0, key.k1, cookie_mac_input(c.key(), covered_isn));
  return match_mac(plan, c.segment.ack.value(), mac, covered_isn, stripped, plan.match);
}

// Tries an ACK as it came, and then, if it may be, as one whose timestamps were taken away.
class Tries {
 public:
  Tries(const Moment& now, Answerer& answerer, const Context& c)
      : now_(now), budget_(answerer.stripped_tries()), c_(c) {
    plan_.keys = now.keys_to_check(cookie_parity((c.segment.ack - 1).value()));
    if (plan_.keys != nullptr) maybe_stripped_ = plan_ack(now, answerer, c, plan_);
  }
  [[nodiscard]] bool possible() const { return plan_.keys != nullptr; }
  [[nodiscard]] const CookieMatch& match() const { return plan_.match; }
  [[nodiscard]] bool has_timestamps() const { return plan_.timestamps.present; }

  // `isns`: tries to match one ISN or several, for an ACK that is stripped or is not.
  template <typename Isns>
  [[nodiscard]] bool both_ways(Isns&& isns) {
    if (!possible()) return false;
    return isns(false) || (maybe_stripped_ && budget_.take(now_.ms()) && isns(true));
  }
  [[nodiscard]] bool one_way(std::uint32_t covered_isn, bool stripped) {
    return possible() && match_isn(plan_, c_, covered_isn, stripped);
  }
  [[nodiscard]] bool isn(std::uint32_t covered_isn) {
    return both_ways([&](bool stripped) { return one_way(covered_isn, stripped); });
  }

 private:
  const Moment& now_;
  StrippedTries& budget_;
  const Context& c_;
  AckPlan plan_;
  bool maybe_stripped_ = false;
};

// Whether the segment may be the ACK of a handshake that began with `isn`. The byte of a keepalive
// or of a zero-window probe lies before the first one.
bool carries_isn(const Segment& g, std::uint32_t isn) {
  const std::uint32_t ahead = g.seq.value() - isn;
  return ahead == 1 || (ahead == 0 && g.payload_length <= 1);
}

// As cheap for an attacker as a try of the mark: one MAC, of the layout that the ACK shows.
std::optional<CookieMatch> match_other(const Moment& now, Answerer& answerer, FlowRecord& f,
                                       const Context& c) {
  if (f.mark_tries() >= kMaxOtherTries) return std::nullopt;
  Tries tries(now, answerer, c);
  if (tries.one_way((c.segment.seq - 1).value(), false)) return tries.match();
  if (tries.possible()) f.set_mark_tries(f.mark_tries() + 1);
  return std::nullopt;
}

CookieMatch as_renewed(CookieMatch m, const FlowRecord& f) {
  m.client_isn = f.client_isn;
  return m;
}

}  // namespace

CookieMatch match_cookie(const Moment& now, Answerer& answerer, const Context& c) {
  if (c.ack.macs != 0) return c.ack.match;
  const Segment& g = c.segment;
  Tries tries(now, answerer, c);
  const bool found = tries.both_ways([&](bool stripped) {
    return tries.one_way((g.seq - 1).value(), stripped) ||
           (g.payload_length <= 1 && tries.one_way(g.seq.value(), stripped));
  });
  return found ? tries.match() : CookieMatch{};
}

std::optional<CookieMatch> match_successor(const Moment& now, Answerer& answerer,
                                           const FlowRecord& f, const Context& c) {
  const Segment& g = c.segment;
  if (!f.opened_by_server()) {
    if (g.ack == SeqNum(f.cookie + 1)) return std::nullopt;
    if (carries_isn(g, f.client_isn)) {
      Tries tries(now, answerer, c);
      if (tries.isn(renewed_isn(f))) return as_renewed(tries.match(), f);
    }
  }
  const CookieMatch m = match_cookie(now, answerer, c);
  if (!m.valid) return std::nullopt;
  return m;
}

std::optional<CookieMatch> match_marked(const Moment& now, Answerer& answerer, FlowRecord& f,
                                        const Context& c) {
  const Segment& g = c.segment;
  if (f.adopted() && !is_of_mark(f, g)) return match_other(now, answerer, f, c);
  // While the server is silent, a client that boots with its old ISN may have been given another
  // cookie, of the next epoch.
  const bool silent = f.state() == FlowState::kSynSent;
  if (!(silent || f.has(kFlowMarked)) || !g.has(kAck)) return std::nullopt;
  const std::uint32_t isn = f.has(kFlowMarked) ? f.mark_isn : f.client_isn;
  if (!carries_isn(g, isn)) return std::nullopt;
  if (f.mark_tries() == kMaxMarkTries) return std::nullopt;  // until the next mark
  Tries tries(now, answerer, c);
  // Unless the server is silent, the layout is known: that of the marked SYN. Only timestamps that
  // were given can have been taken away.
  const bool given = f.has(kFlowMarkTimestamps);
  if (!silent && tries.has_timestamps() && !given) return std::nullopt;
  // A flow that took its own ISN for a mark was over then, and has come back to life since.
  const bool renewed = !silent && isn == f.client_isn;
  const std::uint32_t covered_isn = renewed ? renewed_isn(f) : isn;
  const bool found = silent ? tries.isn(covered_isn)
                            : tries.one_way(covered_isn, given && !tries.has_timestamps());
  if (found) return renewed ? as_renewed(tries.match(), f) : tries.match();
  f.set_mark_tries(f.mark_tries() + 1);
  return std::nullopt;
}

}  // namespace synproxy
