// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/steering.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <new>
#include <string>

#include "dataplane/frame_notes.h"
#include "dataplane/memory_plan.h"
#include "synproxy/policy/reassembler.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::dataplane {
namespace {

// The result of a flow director takes the place of the hash. A device that finds a frame damaged
// may not have looked for its ports.
bool reports_hash(const rte_mbuf& m) {
  constexpr std::uint64_t kNot =
      RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_BAD;
  return (m.ol_flags & (RTE_MBUF_F_RX_RSS_HASH | kNot)) == RTE_MBUF_F_RX_RSS_HASH;
}

}  // namespace

HandOver::HandOver(unsigned workers) {
  for (unsigned w = 0; w < workers; ++w) {
    doorbells_.push_back(std::make_unique<Doorbell>());
    std::array<rte_ring*, 2> pair{};
    for (unsigned role = 0; role < pair.size(); ++role) {
      const std::string name = "synproxy_" + std::to_string(w) + "_" + std::to_string(role);
      pair[role] = rte_ring_create(name.c_str(), kHandOverSlots, SOCKET_ID_ANY,
                                   RING_F_SC_DEQ | RING_F_EXACT_SZ);
    }
    rings_.push_back(pair);
    if (pair[0] == nullptr || pair[1] == nullptr) {
      for (const auto& made : rings_) {
        for (rte_ring* ring : made) rte_ring_free(ring);
      }
      throw std::bad_alloc();
    }
  }
}

HandOver::~HandOver() {
  drain();
  for (const auto& pair : rings_) {
    for (rte_ring* ring : pair) rte_ring_free(ring);
  }
}

std::uint16_t HandOver::give(unsigned to, Role sender, rte_mbuf** frames, std::uint16_t n) {
  rte_ring* ring = rings_[to][static_cast<std::size_t>(sender)];
  const auto taken = static_cast<std::uint16_t>(
      rte_ring_enqueue_burst(ring, reinterpret_cast<void**>(frames), n, nullptr));
  if (taken != 0) doorbells_[to]->ring();
  return taken;
}

std::uint16_t HandOver::take(unsigned self, Role sender, rte_mbuf** out, std::uint16_t n) {
  rte_ring* ring = rings_[self][static_cast<std::size_t>(sender)];
  return static_cast<std::uint16_t>(
      rte_ring_dequeue_burst(ring, reinterpret_cast<void**>(out), n, nullptr));
}

bool HandOver::anything_for(unsigned self) const {
  return rte_ring_empty(rings_[self][0]) == 0 || rte_ring_empty(rings_[self][1]) == 0;
}

void HandOver::drain() {
  std::array<rte_mbuf*, kMaxBurst> frames{};
  for (unsigned w = 0; w < rings_.size(); ++w) {
    for (const Role sender : {Role::kClient, Role::kServer}) {
      while (const std::uint16_t n = take(w, sender, frames.data(), kMaxBurst)) {
        rte_pktmbuf_free_bulk(frames.data(), n);
      }
    }
  }
}

Steering::Steering(unsigned self, unsigned workers, const ProtectSet& protect, const IndexKey& key,
                   const RssOwner* rss, HandOver& hand_over)
    : self_(self),
      protect_(protect),
      key_(key),
      rss_(rss),
      hand_over_(hand_over),
      batches_(workers) {}

std::uint32_t Steering::owner_by_rss(PortId in, Role sender, const rte_mbuf& m) const {
  const auto* data = rte_pktmbuf_mtod(&m, const std::uint8_t*);
  const PlainTcp family = plain_tcp(data, m.data_len);
  if (family == PlainTcp::kNo) [[unlikely]] {
    FlowKey flow;
    Segment seen;
    if (flow_of({data, m.data_len}, sender, protect_, flow, seen)) return rss_->of(fold_of(flow));
    return owner_without_flow(sender, seen);
  }
  if (reports_hash(m) && trust_[in].trusted(family)) {
    return rss_->of_hash(m.hash.rss);
  }
  return rss_->of(fold_of(data, family));
}

std::uint32_t Steering::owner_by_hash(Role sender, const rte_mbuf& m) const {
  Arrival elsewhere;
  Arrival* const notes = notes_of(m);
  Arrival& found = notes != nullptr ? *notes : elsewhere;
  const std::uint32_t owner =
      owner_of({rte_pktmbuf_mtod(&m, const std::uint8_t*), m.data_len}, sender, protect_, key_,
               static_cast<std::uint32_t>(batches_.size()), self_, found);
  if (found.segment.result != ParseResult::kFragment) [[likely]] {
    return owner;
  }
  return owner_without_flow(sender, found.segment);
}

std::uint32_t Steering::owner_without_flow(Role sender, const Segment& seen) const {
  if (!gathers_ || seen.result != ParseResult::kFragment) return self_;
  return gatherer_of(seen, sender, protect_, key_, static_cast<std::uint32_t>(batches_.size()),
                     self_);
}

std::uint32_t Steering::owner_of_whole(Role sender, std::span<const std::uint8_t> frame) const {
  if (rss_ != nullptr) {
    FlowKey flow;
    return flow_of(frame, sender, protect_, flow) ? rss_->of(fold_of(flow)) : self_;
  }
  Arrival elsewhere;
  return owner_of(frame, sender, protect_, key_, static_cast<std::uint32_t>(batches_.size()), self_,
                  elsewhere);
}

void Steering::look_at_reported_hash(PortId in, const rte_mbuf& m, IoCounters& io) {
  const auto* data = rte_pktmbuf_mtod(&m, const std::uint8_t*);
  const PlainTcp family = plain_tcp(data, m.data_len);
  if (!reports_hash(m) || family == PlainTcp::kNo) return;
  const bool right = m.hash.rss == rss_->hash_of(fold_of(data, family));
  trust_[in].judge(family, right);
  if (!right) io.rss_mismatch[in].add(1);
}

std::uint16_t Steering::sort(PortId in, Role sender, rte_mbuf** frames, std::uint16_t n,
                             IoCounters& io) {
  std::uint16_t kept = 0;
  if (rss_ != nullptr && n != 0) look_at_reported_hash(in, *frames[0], io);
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = frames[i];
    const std::uint32_t owner =
        rss_ != nullptr ? owner_by_rss(in, sender, *m) : owner_by_hash(sender, *m);
    if (owner == self_) {
      frames[kept++] = m;
    } else {
      Batch& batch = batches_[owner];
      batch.frames[batch.count++] = m;
    }
  }
  if (kept == n) return kept;
  for (unsigned w = 0; w < batches_.size(); ++w) {
    Batch& batch = batches_[w];
    if (batch.count == 0) continue;
    const std::uint16_t given = hand_over_.give(w, sender, batch.frames.data(), batch.count);
    io.handed_over.add(given);
    if (given < batch.count) {
      const auto left = static_cast<unsigned>(batch.count - given);
      io.hand_over_full.add(left);
      rte_pktmbuf_free_bulk(batch.frames.data() + given, left);
    }
    batch.count = 0;
  }
  return kept;
}

}  // namespace synproxy::dataplane
