// SPDX-License-Identifier: BSD-3-Clause
// Sends each packet to its act.
#include "burst/stages.h"
#include "spliced/unknown.h"

namespace synproxy {
namespace {

// An ACK that was refuted in a column has no key yet, and needs none where all services are alike.
const ServiceTuning& tuning_for(const Rooms& rooms, const Context& c) {
  const bool one = rooms.services.unknowns_differ();
  return one ? rooms.services.tuning(c.key()) : rooms.services.tuning(0);
}

void decide(Rooms& rooms, Context& c, FrameSink& sink) {
  if (c.kind == Kind::kDecided) return;
  if (c.kind == Kind::kIcmp) return on_icmp(rooms, c, sink);
  if (c.kind == Kind::kFragment) return on_fragment(rooms, c, sink);
  if (c.kind == Kind::kRefuted && (rooms.flows.changed() || rooms.services.unknowns_differ())) {
    // An earlier packet of the burst may have opened its flow, or its service has a say of its own.
    // The ACK has not been parsed yet.
    c.kind = Kind::kTcp;
    classify(rooms, {&c, 1});
    if (c.kind != Kind::kTcp) return;
    c.flow = rooms.flows.find(c.key(), c.hash);
    c.ack.refuted = true;
    if (rooms.services.unknowns_differ() && c.flow == kNoFlow) ++rooms.stateless;
  } else if (rooms.flows.changed(c.hash)) {
    c.flow = rooms.flows.find(c.key(), c.hash);
  }
  if (c.flow == kNoFlow) {
    if (c.ack.refuted) {
      ++rooms.acks_refuted;
      if (c.kind == Kind::kRefuted) {
        ++rooms.stateless;
      } else {
        (c.segment.ipv6 ? rooms.ack_kinds.ipv6 : rooms.ack_kinds.ipv4) = true;
        rooms.ack_kinds.tagged |= rooms.tags_matter(c.segment);
      }
      if (c.kind == Kind::kTcp && rooms.strangers.curious())
        return on_unknown_client(rooms, c, sink);
      if (rooms.services.forwards_unknown()) [[unlikely]] {
        const ServiceTuning& tuning = tuning_for(rooms, c);
        if (tuning.forwards_unknown()) return pass_unknown_client(rooms, c, tuning);
      }
      return drop(rooms.counters, c, Reason::cookie_invalid);
    }
    // A proxy cannot change the numbers of a signed connection, so it passes as it is.
    if (c.passes_signed) return forward(rooms.counters, c, Reason::forwarded);
  }
  if (c.sender == Role::kServer) return on_server_segment(rooms, c, sink);
  if ((c.segment.flags & (kSyn | kAck)) == kSyn) return on_client_syn(rooms, c);
  on_client_segment(rooms, c, sink);
}

}  // namespace

void act(Rooms& rooms, std::span<Context> burst, FrameSink& sink) {
  rooms.strangers.begin(rooms.services.resets_unknown(), rooms.adopts, rooms.now.ms32());
  if (rooms.offloads.any()) [[unlikely]] {
    publish_offloads(rooms);
    catch_up(rooms, burst);
  }
  for (Context& c : burst) decide(rooms, c, sink);
  if (rooms.offloads.there()) [[unlikely]]
    settle(rooms, burst);
}

}  // namespace synproxy
