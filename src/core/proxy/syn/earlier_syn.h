// SPDX-License-Identifier: BSD-3-Clause
// What the SYN-ACKs that are remembered (synack_repeats.h) say about a flow.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

inline void mark_by(const SynAckRepeats::Entry& e, FlowRecord& f) {
  f.mark_isn = (e.syn_ack.ack - 1).value();
  f.clear(kFlowMarkTimestamps);
  f.set(static_cast<std::uint16_t>(kFlowMarked | (e.syn_ack.timestamps ? kFlowMarkTimestamps : 0)));
}

// A client's SYN may be older than a flow with its addresses, and yet begin a later connection. It
// has overtaken the handshake ACK of the connection before, or came in one burst with it. Or it
// came before the server's last segment, by which the connection before was adopted. While the
// SYN-ACK is remembered, the new flow `f` is marked as if the SYN had come on it.
inline void mark_by_earlier_syn(const Rooms& rooms, const Context& c, FlowRecord& f) {
  const SynAckRepeats::Entry* e =
      rooms.answerer.repeats().latest_but(c.key(), c.hash, SeqNum(f.client_isn));
  if (e != nullptr) mark_by(*e, f);
}

// The SYN-ACK that the client was given last, if its segment acknowledges that and nothing behind
// it; nullptr: it does not. Such a segment is the handshake ACK, or ahead of it. Then the client
// has no older connection, and the server must not hear of the segment: its RST would end the new
// one.
[[nodiscard]] inline const SynAckRepeats::Entry* quoted_syn_ack(const Rooms& rooms,
                                                                const Context& c) {
  if (!c.segment.has(kAck)) return nullptr;
  return rooms.answerer.repeats().find_sent(c.key(), c.hash, c.segment.ack - 1);
}
[[nodiscard]] inline bool quotes_our_syn_ack(const Rooms& rooms, const Context& c) {
  return quoted_syn_ack(rooms, c) != nullptr;
}

// The mark of an adopted flow may be a late copy of its own SYN, whose ISN nobody knows, and keeps
// the client's next SYN from marking for a second. A client that quotes the SYN-ACK of that SYN
// does not guess: its SYN gets the mark, with all tries. Returns whether this one quotes it; on
// other flows nobody asks, and it is false.
[[nodiscard]] inline bool mark_by_quoted_syn(const Rooms& rooms, const Context& c, FlowRecord& f) {
  const SynAckRepeats::Entry* e = f.adopted() ? quoted_syn_ack(rooms, c) : nullptr;
  if (e == nullptr) return false;
  if (!f.has(kFlowMarked) || e->syn_ack.ack != SeqNum(f.mark_isn) + 1) {
    mark_by(*e, f);
    f.set_mark_tries(0);
  }
  return true;
}

}  // namespace synproxy
