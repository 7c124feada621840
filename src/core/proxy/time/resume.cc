// SPDX-License-Identifier: BSD-3-Clause
#include "time/resume.h"

#include <algorithm>

namespace synproxy {
namespace {

// As if the client had sent nothing yet, which is what it believes.
void ask_anew(Rooms& rooms, FlowIndex i) {
  FlowRecord& f = rooms.flows[i];
  f.handshake().early = EarlyStore::kNone;
  f.client_nxt = f.client_isn + 1;
  f.server_nxt = f.cookie + 1;
  f.clear(kFlowClientFin | kFlowWaits);
  // Places and turns were the dead process's. What it had not asked for may still have to wait.
  const FlowKey key = rooms.flows.key_of(i);
  const bool waits = rooms.turns.on() &&
                     rooms.turns.arrive(i, key, key.client.data(), false) == Turns::Turn::kWaits;
  if (waits) return f.set(kFlowWaits);
  f.clear(kFlowUnasked);
  rooms.handshakes.ask_at_once(i, f, rooms.now.ms32());
}

// The client may have been promised more than its server takes: which clients were, is forgotten.
void note_too_long(Rooms& rooms, FlowIndex i) {
  if (!rooms.flows[i].translated()) return;
  const FlowKey key = rooms.flows.key_of(i);
  const std::uint16_t shown = rooms.answerer.services().shown_mss(key);
  const std::uint16_t promised = std::max(rooms.now.tuning().offer.mss, assumed_mss(key.ipv6));
  if (shown != 0 && shown < promised) rooms.too_long.note(i);
}

void go_on(Rooms& rooms, FlowIndex i) {
  FlowRecord& f = rooms.flows[i];
  if (f.state() == FlowState::kSynSent) return ask_anew(rooms, i);
  // The answers may have come while nobody listened.
  f.clear(kFlowProbed | kFlowProbedAgain);
  note_too_long(rooms, i);
}

}  // namespace

Found resume(Rooms& rooms) {
  rooms.answerer.services().restore();
  rooms.frames.restore();
  const Found found = rooms.flows.restore(rooms.now);
  rooms.flows.each([&](FlowIndex i) { go_on(rooms, i); });
  rooms.counters.count(Reason::flow_resumed, found.kept);
  rooms.counters.count(Reason::flow_unfit, found.dropped);
  return found;
}

FlowSlice carry_flows(const Rooms& rooms, FlowIndex from, std::uint32_t looks,
                      std::span<CarriedFlow> out) {
  const FlowIndex end = rooms.flows.high_water();
  FlowSlice slice;
  FlowIndex i = std::min(from, end);
  for (; i < end && looks != 0 && slice.count < out.size(); ++i, --looks) {
    const FlowRecord& f = rooms.flows[i];
    if (f.state() == FlowState::kFree) continue;
    const FlowKey key = rooms.flows.key_of(i);
    const Link* const link = rooms.frames.link_of(f);
    out[slice.count++] = {f,
                          key.client,
                          key.server,
                          rooms.flows.look(f, Role::kClient),
                          rooms.flows.look(f, Role::kServer),
                          link != nullptr ? *link : Link{}};
  }
  slice.next = i < end ? i : kNoFlow;
  return slice;
}

Found adopt(Rooms& rooms, std::span<const CarriedFlow> carried) {
  Found found;
  for (const CarriedFlow& c : carried) {
    const FlowIndex i = rooms.flows.adopt(c.record, c.key(), rooms.now);
    if (i == kNoFlow) {
      ++found.dropped;
      continue;
    }
    ++found.kept;
    FlowRecord& f = rooms.flows[i];
    rooms.flows.set_look(f, Role::kClient, c.client_look);
    rooms.flows.set_look(f, Role::kServer, c.server_look);
    rooms.frames.adopt_link(f, c.link);
    go_on(rooms, i);
  }
  rooms.counters.count(Reason::flow_resumed, found.kept);
  rooms.counters.count(Reason::flow_unfit, found.dropped);
  return found;
}

}  // namespace synproxy
