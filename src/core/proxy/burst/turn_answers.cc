// SPDX-License-Identifier: BSD-3-Clause
#include "burst/turn_answers.h"

#include <algorithm>
#include <utility>

#include "burst/flow_key.h"

namespace synproxy {
namespace {

// The record of the packet's flow, unless that has ended since.
const FlowRecord* record_of(const Rooms& rooms, const Packet& p,
                            std::span<const Context> contexts) {
  const auto c = std::find_if(contexts.begin(), contexts.end(),
                              [&](const Context& x) { return x.packet == &p; });
  if (c == contexts.end() || c->flow == kNoFlow) return nullptr;
  return rooms.flows.has_key(c->flow, c->key(), c->hash) ? &rooms.flows[c->flow] : nullptr;
}

}  // namespace

void turn_answers(Rooms& rooms, Role sender, std::span<Packet> packets,
                  std::span<const Context> contexts) {
  for (Packet& p : packets) {
    if (p.verdict != Verdict::kReply) continue;
    if (sender == Role::kClient && rooms.frames.turn_like_last(p.data)) continue;
    Segment answer;  // the engine has just written it, so it is whole TCP
    parse_frame(p.data, p.length, answer);
    // The header of the packet that is answered. (If it went to a group, the group bit is lost.)
    LinkHeader header({p.data, answer.l3_offset});
    std::swap_ranges(header.destination(), header.destination() + kMacAddress, header.source());
    FlowKey key;
    key_of(answer, other(sender), key);
    rooms.frames.turn_answer(p.data, header, key, sender, record_of(rooms, p, contexts));
  }
}

}  // namespace synproxy
