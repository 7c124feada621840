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

// Of the packet's service: the flow's key without the client.
std::uint32_t share_of(const FlowBook& flows, const Context& c) {
  static constexpr AddressBytes kNobody{};
  KeyView key = c.key();
  key.identity.addresses &= 0xffffffff00000000ULL;
  key.identity.ports_and_vlan &= ~0xffffULL;
  key.client = kNobody.data();
  return static_cast<std::uint32_t>(flows.hash_of(key) >> 32) % EarlyStore::kShares;
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

bool Handshakes::hold(FlowBook& flows, const Context& c, std::uint32_t limit, std::uint32_t now_ms,
                      Counters& counters) {
  FlowRecord& f = flows[c.flow];
  const Segment& g = c.segment;
  const std::uint32_t end = g.seq + g.payload_length - SeqNum(f.client_isn + 1);
  if (g.seq != SeqNum(f.client_nxt) || end > std::min<std::uint32_t>(limit, 0xffff)) return false;
  // Nothing may follow a FIN.
  if (f.has(kFlowClientFin)) return false;
  const std::size_t length = std::size_t{g.l4_offset} + g.l4_length;  // padding is not kept
  const EarlyStore::Handle head = f.handshake().early;
  if (!early_.may_hold(head, length)) return false;
  const EarlyStore::Owner owner{
      c.flow, head == EarlyStore::kNone ? share_of(flows, c) : early_.share_of(head), now_ms};
  while (!early_.has_room(head, length)) {
    const EarlyStore::Handle victim = early_.pick_victim(head, length, owner);
    if (victim == EarlyStore::kNone) return false;
    take_back(flows[early_.flow_of(victim)]);
    counters.count(Reason::early_given_up);
  }
  f.handshake().early = early_.append(head, {g.frame, length}, owner);
  f.client_nxt = g.seq_end().value();
  if (g.has(kFin)) f.set(kFlowClientFin);
  return true;
}

// As if the client had sent nothing yet, which is what it believes: nothing was acknowledged.
void Handshakes::take_back(FlowRecord& f) {
  drop_early(f);
  f.client_nxt = f.client_isn + 1;
  f.clear(kFlowClientFin);
}

void Handshakes::drop_early(FlowRecord& f) {
  if (f.state() != FlowState::kSynSent) return;
  early_.free(f.handshake().early);
  f.handshake().early = EarlyStore::kNone;
}

}  // namespace synproxy
