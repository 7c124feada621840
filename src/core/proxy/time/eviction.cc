// SPDX-License-Identifier: BSD-3-Clause
#include "time/eviction.h"

#include "burst/flow_key.h"
#include "flows/end_flow.h"

namespace synproxy {
namespace {

bool make_room(Rooms& rooms, FrameSink& sink) {
  FlowBook& flows = rooms.flows;
  if (!flows.full()) return true;
  const FlowIndex victim = flows.pick_victim();
  if (victim == kNoFlow) return false;
  const FlowRecord& f = flows[victim];
  if (f.state() == FlowState::kSynSent) {
    const FlowKey key = flows.key_of(victim);
    rooms.frames.send_rst(f, key, Role::kClient, sink);
    rooms.frames.send_rst(f, key, Role::kServer, sink);
  }
  rooms.counters.count(Reason::flow_evicted);
  free_flow(rooms, victim);
  flows.prefetch_victims();
  return true;
}

}  // namespace

FlowIndex take_record(Rooms& rooms, const Context& c, FrameSink& sink) {
  if (!make_room(rooms, sink)) return kNoFlow;
  FlowKey key;
  key_of(c.segment, c.sender, key);
  const FlowIndex i = rooms.flows.insert(key, c.hash);
  if (i != kNoFlow) rooms.flows.prefetch_look(i);
  return i;
}

}  // namespace synproxy
