// SPDX-License-Identifier: BSD-3-Clause
#include "time/eviction.h"

#include "burst/flow_key.h"
#include "flows/end_flow.h"

namespace synproxy {
namespace {

void evict(Rooms& rooms, FlowIndex victim, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[victim];
  // If one of its ends lives, it learns at once that this connection is gone.
  if (f.state() == FlowState::kSynSent || f.state() == FlowState::kEstablished) {
    const FlowKey key = rooms.flows.key_of(victim);
    rooms.frames.send_rst(f, key, Role::kClient, sink);
    if (!f.unasked()) rooms.frames.send_rst(f, key, Role::kServer, sink);
  }
  rooms.services.count([&] { return rooms.flows.key_of(victim); }, Reason::flow_evicted);
  free_flow(rooms, victim);
  rooms.flows.prefetch_victims();
}

// The victim may be any flow when the table is full. When a server has left too many connections
// half-open, it is one of those.
bool make_room(Rooms& rooms, Role opener, FrameSink& sink) {
  FlowBook& flows = rooms.flows;
  FlowIndex victim = kNoFlow;
  if (flows.full()) {
    victim = flows.pick_victim(rooms.now.ms());
  } else if (opener == Role::kServer && flows.passed() >= flows.passed_limit()) {
    victim = flows.pick_passed();
  } else {
    return true;
  }
  if (victim == kNoFlow) return false;
  evict(rooms, victim, sink);
  return true;
}

}  // namespace

FlowIndex take_record(Rooms& rooms, const Context& c, FrameSink& sink) {
  if (!make_room(rooms, c.sender, sink)) return kNoFlow;
  FlowKey key;
  key_of(c.segment, c.sender, key);
  const FlowIndex i = rooms.flows.insert(key, c.hash, birth_at(rooms.now.ms()));
  if (i != kNoFlow) rooms.flows.prefetch_look(i);
  return i;
}

}  // namespace synproxy
