// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/client_waits.h"

#include "ack/prove_ack.h"
#include "flows/end_flow.h"
#include "handshake/open_flow.h"
#include "spliced/progress.h"

namespace synproxy {

void hold_early(Rooms& rooms, Context& c) {
  const bool held = rooms.handshakes.hold(rooms.flows, c, rooms.now.most_early_window(),
                                          rooms.now.ms32(), rooms.counters);
  drop(rooms.counters, c, held ? Reason::early_held : Reason::early_dropped);
}

void on_client_waits(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  const SeqNum first(f.client_isn + 1);
  if (g.has(kRst)) {
    // RFC 5961 section 3.2: exact. The client sends its next number, or the one that our SYN-ACK
    // acknowledged. A late RST of the previous connection may lie between or behind them.
    if (g.seq != first && g.seq != SeqNum(f.client_nxt)) {
      return drop(rooms.counters, c, Reason::rst_out_of_window);
    }
    if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
    rooms.services.count(c.key(), Reason::conn_aborted);
    drop(rooms.counters, c, Reason::consumed);
    return give_up(rooms, c.flow, false, true, sink);
  }
  if (g.ack == SeqNum(f.cookie + 1)) {
    follow_way(rooms, c, f);
    if (g.seq_length() == 0 && g.seq == SeqNum(f.client_nxt) && checksum_ok(c)) {
      f.handshake().window = g.window;  // the server has to learn the latest one
    }
    if (g.seq_length() == 0 || g.seq.before(first))
      return drop(rooms.counters, c, Reason::cookie_retrans);
    if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
    if (cut_to_hold(c)) return;
    return hold_early(rooms, c);
  }
  // The ACK is not of this handshake. It may be of a SYN that came since.
  if (const auto m = match_marked(rooms.now, rooms.answerer, f, c))
    return open_proven(rooms, c, *m, sink);
  drop(rooms.counters, c, Reason::ack_unfit);
}

void on_client_tombstone(Rooms& rooms, Context& c, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[c.flow];
  if (c.segment.has(kRst)) return drop(rooms.counters, c, Reason::no_flow_client);
  if (const auto m = match_successor(rooms.now, rooms.answerer, f, c))
    return open_proven(rooms, c, *m, sink);
  // Data of the next connection may overtake its handshake ACK. It quotes another cookie, and the
  // client would accept our RST for it.
  if (!c.segment.ack.within(SeqNum(f.cookie + 1), SeqNum(f.server_nxt))) {
    return drop(rooms.counters, c, Reason::ack_unfit);
  }
  answer_with_rst(rooms.counters, c, Reason::cookie_retrans, rooms.flows.look(f, Role::kServer));
}

}  // namespace synproxy
