// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>

#include "burst/stages.h"

namespace synproxy {
namespace {

// The packets of a burst whose flow may be in the table.
class LookUps {
 public:
  // Prefetches the records of these packets, whose buckets are on their way.
  void fetch(const FlowBook& flows, std::span<Context> packets) {
    std::size_t n = count_;
    for (Context& c : packets) {
      if (c.kind != Kind::kTcp && c.kind != Kind::kSynPlanned) continue;
      c.flow = kNoFlow;
      maybe_[n] = &c;
      n += flows.prefetch_record(c.hash) != FlowTable::Maybe::kNowhere ? 1U : 0U;
    }
    count_ = n;
  }

  // What a client sends before its server has answered is summed and kept. Its first two lines are
  // there (prefetch_headers). Always inline, or GCC takes the calls for ones without effect.
  [[gnu::always_inline]] static void fetch_rest(const Packet& packet) {
    const std::size_t end = std::min<std::size_t>(packet.length, kMostFetched);
    for (std::size_t at = 128; at < end; at += 64) __builtin_prefetch(packet.data + at);
  }

  // Finds the flows of the packets fetched so far, but for the last `left`.
  void find(const FlowBook& flows, std::size_t left) {
    for (; found_ + left < count_; ++found_) {
      Context& c = *maybe_[found_];
      c.flow = flows.find(c.key(), c.hash);
      // A SYN on a flow has to wait for its turn.
      if (c.flow == kNoFlow) continue;
      if (c.kind == Kind::kSynPlanned) c.kind = Kind::kTcp;
      if (flows[c.flow].state() == FlowState::kSynSent) [[unlikely]] {
        fetch_rest(*c.packet);
      }
    }
  }

 private:
  static constexpr std::size_t kMostFetched = 1536;  // of a super-frame nothing more

  std::array<Context*, kMaxBurst> maybe_;
  std::size_t count_ = 0;
  std::size_t found_ = 0;
};

}  // namespace

void look_up(const FlowBook& flows, std::span<Context> burst) {
  LookUps look_ups;
  look_ups.fetch(flows, burst);
  look_ups.find(flows, 0);
}

void classify_and_look_up(Rooms& rooms, std::span<Context> burst) {
  if (!rooms.in_huge_pages || rooms.flows.size() < kManyFlows || rooms.flows.size() > kMostFlows) {
    classify(rooms, burst);
    return look_up(rooms.flows, burst);
  }
  // A bucket comes in the time that it takes to classify twelve packets. The two stages take turns
  // by four packets: in one loop they run out of registers, which is slower.
  constexpr std::size_t kStep = 4;
  constexpr std::size_t kBehind = 3 * kStep;
  constexpr std::size_t kStillComing = 2 * kStep;  // records
  LookUps look_ups;
  std::size_t fetched = 0;
  for (std::size_t i = 0; i < burst.size(); i += kStep) {
    classify(rooms, burst.subspan(i, std::min(kStep, burst.size() - i)));
    if (i < kBehind) continue;
    look_ups.fetch(rooms.flows, burst.subspan(fetched, kStep));
    fetched += kStep;
  }
  // Until the last buckets are there.
  look_ups.find(rooms.flows, kStillComing);
  look_ups.fetch(rooms.flows, burst.subspan(fetched));
  look_ups.find(rooms.flows, 0);
}

}  // namespace synproxy
