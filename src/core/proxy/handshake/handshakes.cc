// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/handshakes.h"

#include <utility>

namespace synproxy {
namespace {

constexpr std::size_t kLargestFrame = 0x10000;

std::size_t retry_capacity(std::uint32_t max_flows) {
  return std::clamp<std::size_t>(max_flows, 16, 1U << 17);
}

template <std::size_t... I>
std::array<RetryQueue, kRetryLevels> make_queues(std::uint32_t max_flows,
                                                 std::index_sequence<I...>) {
  const auto capacity = [max_flows](std::size_t level) {
    return level == kLastRetry ? std::max<std::size_t>(max_flows, 16) : retry_capacity(max_flows);
  };
  return {RetryQueue(capacity(I))...};
}

}  // namespace

Handshakes::Handshakes(const EngineShape& shape)
    : early_(shape.early_data_memory),
      syns_(
          // Each element owns its ring from the start; the analyzer loses it in the pack.
          // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
          make_queues(shape.max_flows, std::make_index_sequence<kRetryLevels>())),
      acks_(retry_capacity(shape.max_flows)),
      frame_(kLargestFrame) {}

bool Handshakes::hold(FlowRecord& f, const Segment& g, std::uint32_t limit) {
  const std::uint32_t end = g.seq + g.payload_length - SeqNum(f.client_isn + 1);
  if (g.seq != SeqNum(f.client_nxt) || end > std::min<std::uint32_t>(limit, 0xffff)) return false;
  // Nothing may follow a FIN.
  if (f.has(kFlowClientFin)) return false;
  const std::size_t length = std::size_t{g.l4_offset} + g.l4_length;  // padding is not kept
  const EarlyStore::Handle head = early_.append(f.handshake().early, {g.frame, length});
  if (head == EarlyStore::kNone) return false;
  f.handshake().early = head;
  f.client_nxt = g.seq_end().value();
  if (g.has(kFin)) f.set(kFlowClientFin);
  return true;
}

void Handshakes::drop_early(FlowRecord& f) {
  if (f.state() != FlowState::kSynSent) return;
  early_.free_all(f.handshake().early);
  f.handshake().early = EarlyStore::kNone;
}

}  // namespace synproxy
