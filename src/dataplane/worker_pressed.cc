// SPDX-License-Identifier: BSD-3-Clause
// What a worker does with clients' frames while more arrive than it can answer: SYNs wait in their
// lane, all others are gathered into whole bursts.
#include <rte_cycles.h>

#include <algorithm>

#include "dataplane/worker.h"

namespace synproxy::dataplane {

// A source that is denied must not take the places of others in the lane.
std::uint16_t Worker::screen(rte_mbuf** frames, std::uint16_t n) {
  std::array<Packet, kMaxBurst> packets;
  for (std::uint16_t i = 0; i < n; ++i) {
    packets[i] = packet_of(*frames[i]);
    rte_prefetch0(packets[i].data);
  }
  const std::uint32_t dropped = engine_.screen({packets.data(), n});
  if (dropped == 0) return n;
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    if ((dropped >> i & 1U) != 0) {
      if (tap_.on()) tap_.dropped(Role::kClient, packets[i]);
      rte_pktmbuf_free(frames[i]);
    } else {
      frames[kept++] = frames[i];
    }
  }
  return kept;
}

// Puts SYNs into their lane, or drops them. In a flood the others are few: gather them into whole
// bursts.
void Worker::sort_out(const Source& source, rte_mbuf** frames, std::uint16_t n) {
  std::array<rte_mbuf*, kMaxBurst> syns;
  if (engine_.screens()) [[unlikely]] {
    n = screen(frames, n);
  }
  auto [others, kept] = lane_.sort(frames, n, syns.data());
  if (request_.workers > 1 && source.kind != Source::Kind::kRing) {
    others = steering_.sort(source.port, Role::kClient, frames, others, io_);
    kept = steering_.sort(source.port, Role::kClient, syns.data(), kept, io_);
  }
  lane_.keep(syns.data(), kept);
  std::copy_n(frames, others, gathered_.begin() + gathered_count_);
  gathered_count_ = static_cast<std::uint16_t>(gathered_count_ + others);
  process_gathered(kMaxBurst);
}

void Worker::process_gathered(std::uint16_t at_least) {
  if (gathered_count_ < at_least) return;
  const auto first = std::min<std::uint16_t>(gathered_count_, kMaxBurst);
  process(Role::kClient, gathered_.data(), first, noted_);
  gathered_count_ = static_cast<std::uint16_t>(gathered_count_ - first);
  std::copy_n(gathered_.begin() + first, gathered_count_, gathered_.begin());
}

unsigned Worker::answer_syns(unsigned budget) {
  unsigned answered = 0;
  while (answered < budget) {
    std::array<rte_mbuf*, kMaxBurst> syns;
    const auto most =
        static_cast<std::uint16_t>(std::min<std::size_t>(budget - answered, kMaxBurst));
    const std::uint16_t n = lane_.take(syns.data(), most);
    if (n == 0) break;
    process(Role::kClient, syns.data(), n, noted_);
    answered += n;
  }
  return answered;
}

}  // namespace synproxy::dataplane
