// SPDX-License-Identifier: BSD-3-Clause
#include "flows/end_flow.h"

namespace synproxy {

void free_flow(Rooms& rooms, FlowIndex i) {
  rooms.handshakes.drop_early(rooms.flows[i]);
  rooms.too_long.forget(i);
  rooms.flows.erase(i, rooms.now);
  rooms.counters.count(Reason::flow_freed);
}

void give_up(Rooms& rooms, FlowIndex i, bool tell_client, bool tell_server, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  rooms.handshakes.drop_early(f);
  if (f.has(kFlowFirstByteDue)) {
    rooms.felt.forget_first_byte(f.cookie);
    f.clear(kFlowFirstByteDue);
  }
  const FlowKey key = rooms.flows.key_of(i);
  if (tell_client) rooms.frames.send_rst(f, key, Role::kClient, sink);
  if (tell_server && !f.unasked()) rooms.frames.send_rst(f, key, Role::kServer, sink);
  rooms.flows.become_spliced(f, FlowState::kTombstone, {});
  f.last_seen = rooms.now.ms32();
}

}  // namespace synproxy
