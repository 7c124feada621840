// SPDX-License-Identifier: BSD-3-Clause
// Computes the MACs of a burst side by side. SYNs are answered with them. For ACKs without a flow
// the stage notes whether they quote a valid cookie; those of a flood do not.
//
// ACKs without timestamps that fit no plain cookie may have lost their timestamps on the path. Few
// of them, by a budget, get a second round of MACs.
//
// A SYN without a flow depends on no other packet, so it is answered before its turn; if one opens
// its flow, that is marked (syn/earlier_syn.h). A SYN on a flow waits for its turn (on_client_syn).
#include <array>
#include <span>

#include "ack/prove_ack.h"
#include "burst/stages.h"
#include "syn/answer_syn.h"
#include "syn/ask_first.h"
#include "syn/cap_replies.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

class CookieStage {
 public:
  CookieStage(Rooms& rooms, std::span<Context> burst)
      : rooms_(rooms),
        burst_(burst),
        current_(rooms.now.keys().current()),
        remembering_(rooms.answerer.repeats().open(rooms.now.ms32())),
        columns_(AnySyns::usable(rooms, remembering_)) {}

  void plan(std::size_t place) {
    Context& c = burst_[place];
    if (c.kind == Kind::kSynPlanned) [[likely]] {
      if (!capped(c)) add_syn(c, place);
      return;
    }
    if (c.kind != Kind::kTcp || c.flow != kNoFlow || c.passes_signed) return;
    const std::uint16_t flags = c.segment.flags & (kSyn | kAck | kRst);
    if (flags == kSyn) {
      add_any_syn(c, place);
    } else if (flags == kAck) {
      plan_ack_of(c, place);
    }
  }

  // After all are planned: answers the SYNs that columns take, and plans those that they leave.
  void answer_any_syns() {
    if (any_syns_.none()) return;
    for_each_lane(any_syns_.take_few(),
                  [&](std::size_t place) { plan_syn_of(burst_[place], place); });
    const AnySyns::Counts counts = any_syns_.answer(rooms_, burst_.data());
    planned_ += counts.answered;
    answered_ += counts.answered;
    capped_ += counts.capped;
  }

  // After all are planned: refutes the ACKs of a flood, and gives MACs to those that are left.
  void refute_any_acks() {
    if (any_acks_.none()) return;
    const std::uint32_t refuted = any_acks_.refuted(rooms_, burst_.data());
    for_each_lane(any_acks_.all(), [&](std::size_t place) {
      Context& c = burst_[place];
      if ((refuted >> place & 1U) == 0) return add_ack(place, c, key_of_match(c.ack, false));
      c.ack.macs = 1;
      c.ack.refuted = true;
      maybe_stripped_ += c.maybe_stripped ? 1U : 0U;
    });
  }

  [[nodiscard]] std::size_t lanes() const { return lanes_; }

  void finish(std::size_t lane) {
    const MacBatch& m = rooms_.macs;
    Context& c = burst_[m.owner[lane]];
    const std::uint64_t mac = m.out[lane];
    if (c.kind == Kind::kSynPlanned) {
      answered_ +=
          answer_syn(rooms_.now, rooms_.answerer, rooms_.counters, c, *current_, mac, remembering_)
              ? 1U
              : 0U;
      c.kind = Kind::kDecided;
    } else {
      check_ack(c, mac);
    }
  }

  // Plans the second round, after the first is finished. False: there is none.
  [[nodiscard]] bool plan_again() {
    if (maybe_stripped_ == 0) return false;
    lanes_ = 0;
    for (std::size_t place = 0; place < burst_.size(); ++place) {
      Context& c = burst_[place];
      if (c.kind != Kind::kTcp || c.ack.macs == 0 || !is_maybe_stripped(c)) continue;
      if (!rooms_.answerer.stripped_tries().take(rooms_.now.ms())) break;
      c.ack.macs = 0;
      add_ack(place, c, key_of_match(c.ack, true));
    }
    return lanes_ != 0;
  }
  void finish_again(std::size_t lane) {
    Context& c = burst_[rooms_.macs.owner[lane]];
    match_ack(c, rooms_.macs.out[lane], true);
  }

  // After both rounds: fetches what the acts will need of those that are proven. A prefetch waits
  // until its page is found, so all are asked for together.
  void fetch_for_proven() const {
    const std::span<Context* const> proven(proven_.data(), proven_count_);
    for (const Context* c : proven) {
      const CookieMatch& m = c->ack.match;
      rooms_.flows.prefetch_replay(m.epoch, m.mac);
      rooms_.answerer.syn_times().prefetch(m.mac);
      rooms_.answerer.repeats().prefetch(c->hash);
    }
    if (!rooms_.limiter.on()) return;
    for (const Context* c : proven) {
      rooms_.limiter.prefetch(c->segment.source(), c->segment.ipv6);
    }
  }

  void count() {
    if ((planned_ | capped_) == 0) return;
    if (!remembering_) rooms_.answerer.repeats().pass_over(static_cast<std::uint32_t>(planned_));
    rooms_.counters.count(Reason::syn_received, planned_);
    rooms_.counters.count(Reason::synack_sent, answered_);
    if (planned_ != 0) rooms_.now.note_cookie();
    count_capped();
  }
  void count_capped() {
    if (capped_ == 0) [[likely]]
      return;
    rooms_.answerer.repeats().pass_over_capped(capped_);
    rooms_.counters.count(Reason::syn_received, capped_);
  }

 private:
  [[nodiscard]] static bool is_maybe_stripped(const Context& c) {
    return c.maybe_stripped && c.ack.refuted;
  }

  void add(std::size_t place, const Context& c, const LayoutKey& key, std::uint32_t isn) {
    MacBatch& m = rooms_.macs;
    const std::size_t lane = lanes_++;
    if (c.segment.ipv6) {
      cookie_mac_input(c.key(), isn, m.in[lane]);
    } else {
      cookie_mac_input(c.identity, isn, m.in[lane]);
    }
    m.k0[lane] = key.k0;
    m.k1[lane] = key.k1;
    m.owner[lane] = static_cast<std::uint16_t>(place);
  }

  void check_ack(Context& c, std::uint64_t mac) {
    match_ack(c, mac, false);
    maybe_stripped_ += is_maybe_stripped(c) ? 1U : 0U;
  }
  // The first MAC is for ISN seq - 1. The second one, for a possible probe, is for ISN seq.
  void match_ack(Context& c, std::uint64_t mac, bool stripped) {
    AckPlan& a = c.ack;
    if (a.match.valid) return;
    const std::uint32_t isn = c.segment.seq.value() - (a.macs++ == 0 ? 1 : 0);
    a.refuted = !match_mac(a, c.segment.ack.value(), mac, isn, stripped, a.match);
    if (!a.refuted) proven_[proven_count_++] = &c;
  }

  void add_any_syn(Context& c, std::size_t place) {
    if (rooms_.watch.on() && passes_syn(rooms_, c)) {
      c.kind = Kind::kDecided;
    } else if (columns_ && AnySyns::takes(c)) {
      any_syns_.add(place, c.segment.ipv6);
    } else {
      plan_syn_of(c, place);
    }
  }

  void plan_syn_of(Context& c, std::size_t place) {
    if (!plan_syn(rooms_.now, rooms_.answerer, rooms_.counters, c, rooms_.asked_by(c)) ||
        capped(c) || ask_first(rooms_, c, c.segment.seq.value())) {
      c.kind = Kind::kDecided;
      return;
    }
    c.kind = Kind::kSynPlanned;
    add_syn(c, place);
  }

  [[nodiscard]] bool capped(Context& c) {
    if (!reply_capped(rooms_, c)) return false;
    c.kind = Kind::kDecided;
    ++capped_;
    return true;
  }

  void add_syn(const Context& c, std::size_t place) {
    ++planned_;
    if (is_adaptive(rooms_, c)) count_syn(rooms_, c);
    add(place, c, key_of_layout(*current_, c.syn.timestamps()), c.segment.seq.value());
  }

  void plan_ack_of(Context& c, std::size_t place) {
    const Segment& g = c.segment;
    if (rooms_.sheds(g)) {
      drop(rooms_.counters, c, Reason::ack_shed);
      c.kind = Kind::kDecided;
      return;
    }
    c.ack.keys = rooms_.now.keys_to_check(cookie_parity((g.ack - 1).value()));
    if (c.ack.keys == nullptr) return;
    c.ack.match.valid = false;
    c.maybe_stripped = plan_ack(rooms_.now, rooms_.answerer, c, c.ack);
    if (rooms_.many_refuted && rooms_.kernels.any_acks != nullptr) {
      any_acks_.add(place, g.ipv6);
    } else {
      add_ack(place, c, key_of_match(c.ack, false));
    }
  }

  void add_ack(std::size_t place, const Context& c, const LayoutKey& key) {
    const Segment& g = c.segment;
    add(place, c, key, (g.seq - 1).value());
    // A keepalive or a zero-window probe repeats the byte before the first: seq is the ISN itself.
    if (g.payload_length <= 1) add(place, c, key, g.seq.value());
  }

  Rooms& rooms_;
  const std::span<Context> burst_;
  const EpochKeys* const current_;
  const bool remembering_;
  const bool columns_;
  AnySyns any_syns_;
  AnyAcks any_acks_;
  std::array<Context*, kMaxBurst> proven_;
  std::size_t proven_count_ = 0;
  std::size_t lanes_ = 0;
  std::size_t maybe_stripped_ = 0;  // MACs that have refuted an ACK for which there may be a second
  std::uint64_t planned_ = 0;       // SYNs planned
  std::uint32_t capped_ = 0;        // SYNs that --reply-rate leaves without an answer
  std::uint64_t answered_ = 0;      // of them answered
};

}  // namespace

void make_and_check_cookies(Rooms& rooms, std::span<Context> burst) {
  CookieStage stage(rooms, burst);
  for (std::size_t i = 0; i < burst.size(); ++i) stage.plan(i);
  stage.answer_any_syns();
  stage.refute_any_acks();
  MacBatch& m = rooms.macs;
  if (stage.lanes() != 0) {
    rooms.mac_kernel.run(m.k0.data(), m.k1.data(), m.in.data(), m.out.data(), stage.lanes());
    for (std::size_t lane = 0; lane < stage.lanes(); ++lane) stage.finish(lane);
  }
  if (stage.plan_again()) {
    rooms.mac_kernel.run(m.k0.data(), m.k1.data(), m.in.data(), m.out.data(), stage.lanes());
    for (std::size_t lane = 0; lane < stage.lanes(); ++lane) stage.finish_again(lane);
  }
  stage.fetch_for_proven();
  stage.count();
}

}  // namespace synproxy
