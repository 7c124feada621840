// SPDX-License-Identifier: BSD-3-Clause
#include "flows/shown_flow.h"

#include <algorithm>

#include "flows/end_flow.h"

namespace synproxy {
namespace {

// The numbers of both streams count from here on.
bool counts_bytes(FlowState state) {
  return state == FlowState::kEstablished || state == FlowState::kClosing ||
         state == FlowState::kFinished;
}

FlowInfo show(const FlowBook& flows, FlowIndex i, std::uint64_t now_ms) {
  const FlowRecord& f = flows[i];
  const FlowKey key = flows.key_of(i);
  FlowInfo info;
  info.client = key.client;
  info.server = key.server;
  info.client_port = key.client_port;
  info.server_port = key.server_port;
  info.vlan = key.vlan.packed;
  info.index = i;
  info.age_seconds = flows.age_seconds(i, now_ms);
  info.idle_ms = static_cast<std::uint32_t>(now_ms) - f.last_seen;
  info.progress = f.progress;
  info.state = static_cast<std::uint8_t>(f.state());
  info.options = f.options;
  info.scales = f.scales;
  info.offered_scale = static_cast<std::uint8_t>(f.offered_scale());
  info.ipv6 = key.ipv6 ? 1 : 0;
  if (!counts_bytes(f.state())) return info;
  info.delta = f.spliced().delta;
  info.ts_delta = f.spliced().ts_delta;
  // Each SYN takes a number, and so does each FIN.
  info.from_client = f.client_nxt - f.client_isn - 1 - (f.has(kFlowClientFin) ? 1U : 0U);
  info.from_server = f.server_nxt - f.cookie - 1 - (f.has(kFlowServerFin) ? 1U : 0U);
  return info;
}

}  // namespace

FlowSlice copy_flows(const FlowBook& flows, std::uint64_t now_ms, FlowIndex from,
                     std::uint32_t looks, std::span<FlowInfo> out) {
  const FlowIndex end = flows.high_water();
  FlowSlice slice;
  FlowIndex i = std::min(from, end);
  for (; i < end && looks != 0 && slice.count < out.size(); ++i, --looks) {
    if (flows[i].state() != FlowState::kFree) out[slice.count++] = show(flows, i, now_ms);
  }
  slice.next = i < end ? i : kNoFlow;
  return slice;
}

FlowSlice copy_services(const ServiceTable& services, FlowIndex from, std::uint32_t looks,
                        std::span<ServiceInfo> out) {
  const auto end = static_cast<FlowIndex>(services.capacity());
  FlowSlice slice;
  FlowIndex i = std::min(from, end);
  for (; i < end && looks != 0 && slice.count < out.size(); ++i, --looks) {
    const auto entry = services.entry(i);
    if (!entry) continue;
    const ServiceOffer& offer = entry->offer;
    ServiceInfo& info = out[slice.count++];
    info = {};
    info.address = entry->address;
    info.vlan = entry->vlan_and_family & ~kFamilyIpv6;
    info.port = entry->port;
    info.mss = offer.mss;
    info.window_scale = offer.window_scale;
    info.timestamps = offer.can.timestamps ? 1 : 0;
    info.sack = offer.can.sack ? 1 : 0;
    info.ecn = offer.can.ecn ? 1 : 0;
    info.ipv6 = (entry->vlan_and_family & kFamilyIpv6) != 0 ? 1 : 0;
  }
  slice.next = i < end ? i : kNoFlow;
  return slice;
}

bool delete_flow(Rooms& rooms, FlowIndex i, const FlowKey& key, FrameSink& sink) {
  FlowBook& flows = rooms.flows;
  if (i >= flows.high_water()) return false;
  FlowRecord& f = flows[i];
  if (f.state() == FlowState::kFree || flows.key_of(i) != key) return false;
  rooms.counters.count(Reason::conn_deleted);
  switch (f.state()) {
    case FlowState::kSynSent:
      give_up(rooms, i, true, true, sink);
      break;
    case FlowState::kFinished:
    case FlowState::kTombstone:
      free_flow(rooms, i);  // nobody is there who would have to be told
      break;
    default:
      // As for a connection that expires: what its ends still send is answered.
      rooms.frames.send_rst(f, key, Role::kClient, sink);
      rooms.frames.send_rst(f, key, Role::kServer, sink);
      flows.set_state(f, FlowState::kTombstone);
      f.last_seen = rooms.now.ms32();
      break;
  }
  return true;
}

}  // namespace synproxy
