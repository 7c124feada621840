// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/ask_server.h"

#include "synproxy/proxy/window_scale.h"

namespace synproxy {

std::uint16_t opening_window(const FlowRecord& f, std::uint16_t window, bool scaled_for_server) {
  if ((f.options & kFlowClientScales) == 0 || scaled_for_server) return window;
  return window_unscaled(window, f.client_scale());
}

Abilities wanted(const OfferConfig& offer) {
  return {.timestamps = offer.timestamps == Offer::kAuto,
          .sack = offer.sack == Offer::kAuto,
          .ecn = offer.ecn == Offer::kAuto};
}

bool probe_due(const Rooms& rooms, const Context& c) {
  return rooms.answerer.services().probe_due(c.key(), wanted(rooms.now.tuning().offer),
                                             rooms.now.ms());
}

void send_syn(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const Abilities extra = ask_more ? wanted(rooms.now.tuning().offer) : Abilities{};
  f.clear(kFlowAskedMore);
  if (ask_more) f.set(kFlowAskedMore | kFlowEverAskedMore);
  const bool ecn = (f.options & kFlowEcn) != 0 || extra.ecn;
  TcpReply r;
  r.seq = SeqNum(f.client_isn);
  r.flags = static_cast<std::uint16_t>(kSyn | (ecn ? kEce | kCwr : 0));
  r.window = opening_window(f, f.handshake().window, false);
  r.mss = f.handshake().mss;
  if ((f.options & kFlowClientScales) != 0) {
    r.window_scale = static_cast<std::uint8_t>(f.client_scale());
  }
  r.sack_permitted = (f.options & kFlowSack) != 0 || extra.sack;
  r.timestamps = (f.options & kFlowTimestamps) != 0 || extra.timestamps;
  // Without the client's timestamps nothing compares ours later, so any value will do.
  r.tsval = (f.options & kFlowTimestamps) != 0 ? f.opening_tsval : rooms.now.ms32();
  rooms.frames.send(f, rooms.flows.key_of(i), Role::kServer, r, sink);
  rooms.counters.count(Reason::syn_to_server);
}

bool hides_rtt(const Rooms& rooms, FlowIndex i) {
  const ServiceTable& services = rooms.answerer.services();
  switch (rooms.now.tuning().hide_rtt) {
    case HideRtt::kOff:
      return false;
    case HideRtt::kOn:
      return true;
    case HideRtt::kAuto:
      return services.any_crawls() && services.offer(KeyView(rooms.flows.key_of(i))).crawls;
  }
  return false;
}

void ask_server(Rooms& rooms, FlowIndex i, bool ask_more, FrameSink& sink) {
  send_syn(rooms, i, ask_more, sink);
  if (!ask_more && hides_rtt(rooms, i)) send_syn(rooms, i, false, sink);
}

void ask_again(Rooms& rooms, Context& c, FlowRecord& f, FrameSink& sink) {
  TcpReply rst;
  rst.seq = c.segment.ack;
  rst.flags = kRst;
  answer(rooms.counters, c, rst, rooms.flows.look(f, Role::kClient), Reason::consumed,
         Reason::rst_to_server);
  if (f.has(kFlowAskedAgain)) return;
  f.set(kFlowAskedAgain);
  ask_server(rooms, c.flow, false, sink);
  rooms.counters.count(Reason::syn_to_server_retrans);
}

}  // namespace synproxy
