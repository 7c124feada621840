// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/syn_lane.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/frames.h"

namespace synproxy::dataplane {
namespace {

// The worker stays pressed so long after a queue stood: a lull is not the end of a flood.
constexpr std::uint64_t kPressedMs = 10;

}  // namespace

SynLane::SynLane(bool enabled, std::size_t sources, const ProtectSet& protect,
                 const SynShedder::Key& key, Counters& counters, IoCounters& io)
    : enabled_(enabled),
      look_(protect),
      shedder_(key),
      stateless_shedder_(key),
      counters_(counters),
      io_(io),
      standing_(sources) {}

SynLane::~SynLane() {
  std::array<rte_mbuf*, kMaxBurst> frames;
  while (const std::uint16_t n = take(frames.data(), kMaxBurst)) {
    rte_pktmbuf_free_bulk(frames.data(), n);
  }
}

void SynLane::polled(std::size_t source, std::uint16_t frames) {
  if (frames < kFewFrames) {
    standing_[source] = 0;
    return;
  }
  if (++standing_[source] < kStandingPolls) return;
  stood_ = enabled_;
  pressed_ = enabled_;
}

SynLane::Sorted SynLane::sort(rte_mbuf** frames, std::uint16_t n, rte_mbuf** syns) {
  std::array<SynIdentity, kMaxBurst> identities;
  std::array<rte_mbuf*, kMaxBurst> dropped;
  for (std::uint16_t i = 0; i < n; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  Sorted sorted;
  std::uint16_t found = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = frames[i];
    if (look_.is_syn(rte_pktmbuf_mtod(m, const std::uint8_t*), m->data_len, identities[found])) {
      syns[found++] = m;
    } else {
      frames[sorted.others++] = m;
    }
  }
  others_ += sorted.others;
  if (!shedder_.shedding()) {
    sorted.syns = found;
    return sorted;
  }
  const std::uint32_t through = shedder_.let_through({identities.data(), found});
  std::uint16_t lost = 0;
  for (std::uint16_t i = 0; i < found; ++i) {
    rte_mbuf* m = syns[i];
    const bool passes = (through >> i & 1U) != 0;
    // Store twice, without a branch: in a flood it would be mispredicted.
    syns[sorted.syns] = m;
    dropped[lost] = m;
    sorted.syns = static_cast<std::uint16_t>(sorted.syns + (passes ? 1 : 0));
    lost = static_cast<std::uint16_t>(lost + (passes ? 0 : 1));
  }
  shed(dropped.data(), lost);
  return sorted;
}

void SynLane::shed(rte_mbuf** syns, std::uint16_t n) {
  if (n == 0) return;
  counters_.count(Reason::syn_shed, n);
  if (tap_ != nullptr && tap_->on()) [[unlikely]] {
    for (std::uint16_t i = 0; i < n; ++i) {
      Packet packet = packet_of(*syns[i]);
      packet.decide(Verdict::kDrop, Reason::syn_shed);
      tap_->dropped(Role::kClient, packet);
    }
  }
  rte_pktmbuf_free_bulk(syns, n);
}

void SynLane::keep(rte_mbuf** syns, std::uint16_t n) {
  const auto fits = static_cast<std::uint16_t>(std::min<std::uint32_t>(n, kSlots - waiting()));
  for (std::uint16_t i = 0; i < fits; ++i) slots_[tail_++ % kSlots] = syns[i];
  if (fits == n) return;
  news_.refused = true;
  shed(syns + fits, static_cast<std::uint16_t>(n - fits));
}

std::uint16_t SynLane::take(rte_mbuf** out, std::uint16_t n) {
  const auto taken = static_cast<std::uint16_t>(std::min<std::uint32_t>(n, waiting()));
  for (std::uint16_t i = 0; i < taken; ++i) out[i] = slots_[head_++ % kSlots];
  if (waiting() == 0) news_.ran_empty = true;
  return taken;
}

void SynLane::tick(std::uint64_t now_ms, std::uint64_t stateless) {
  if (stood_) pressed_until_ms_ = now_ms + kPressedMs;
  news_.ran_empty = news_.ran_empty || waiting() == 0;
  news_.behind = behind();
  shedder_.tick(now_ms, news_);
  const bool mostly_stateless = others_ != 0 && 2 * (stateless - stateless_) >= others_;
  stateless_shedder_.tick(now_ms, pressed_ && news_.behind && mostly_stateless);
  stateless_ = stateless;
  others_ = 0;
  stood_ = false;
  news_ = {};
  turns_ = unread_turns_ = 0;
  pressed_ = enabled_ && (shedder_.shedding() || stateless_shedder_.shedding() || waiting() != 0 ||
                          now_ms < pressed_until_ms_);
  io_.syn_shed_share.set(enabled_ ? std::max(shedder_.shed_per_mille(), shed_before_) : 0);
}

}  // namespace synproxy::dataplane
