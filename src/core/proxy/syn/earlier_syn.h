// SPDX-License-Identifier: BSD-3-Clause
// What the SYN-ACKs that are remembered (synack_repeats.h) say about a flow.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// A client's SYN may be older than a flow with its addresses, and yet begin a later connection. It
// has overtaken the handshake ACK of the connection before, or came in one burst with it. Or it
// came before the server's last segment, by which the connection before was adopted. While the
// SYN-ACK is remembered, the new flow `f` is marked as if the SYN had come on it.
inline void mark_by_earlier_syn(const Rooms& rooms, const Context& c, FlowRecord& f) {
  const SynAckRepeats::Entry* e =
      rooms.answerer.repeats().latest_but(c.key(), c.hash, SeqNum(f.client_isn));
  if (e == nullptr) return;
  f.mark_isn = (e->syn_ack.ack - 1).value();
  f.set(kFlowMarked);
  if (e->syn_ack.timestamps) f.set(kFlowMarkTimestamps);
}

// Whether a client's segment acknowledges the SYN-ACK that it was given last, and nothing behind
// it: it is the handshake ACK, or ahead of it. Then the client has no older connection, and the
// server must not hear of the segment: its RST would end the new one.
[[nodiscard]] inline bool quotes_our_syn_ack(const Rooms& rooms, const Context& c) {
  return c.segment.has(kAck) &&
         rooms.answerer.repeats().find_sent(c.key(), c.hash, c.segment.ack - 1) != nullptr;
}

}  // namespace synproxy
