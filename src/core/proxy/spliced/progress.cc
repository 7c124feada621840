// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/progress.h"

#include "synproxy/proxy/translate.h"
#include "synproxy/proxy/window_scale.h"

namespace synproxy {
namespace {

// A segment that comes this long after a RST was not under way when the RST passed: that end lives.
constexpr std::uint32_t kReviveMs = 1000;

void count(Rooms& rooms, const FlowRecord& f, Reason r) {
  rooms.services.count([&] { return rooms.flows.key_of(rooms.flows.index_of(f)); }, r);
}

// After a RST only a segment that proves life renews the connection.
void touch(Rooms& rooms, FlowRecord& f) {
  if (f.state() == FlowState::kClosing && !closed_by_both(f)) {
    if (rooms.now.ms32() - f.last_seen < kReviveMs) return;
    rooms.flows.set_state(f, FlowState::kEstablished);
  }
  renew(rooms, f);
}

void update_closing(Rooms& rooms, FlowRecord& f) {
  constexpr std::uint16_t kAcked = kFlowClientFinAcked | kFlowServerFinAcked;
  if (f.state() == FlowState::kFinished || !closed_by_both(f)) return;
  if ((f.progress & kAcked) == kAcked) {
    rooms.flows.set_state(f, FlowState::kFinished);
    count(rooms, f, Reason::conn_finished);
  } else {
    rooms.flows.set_state(f, FlowState::kClosing);
  }
}

// The server has sent something for the first time. `fin`: that is a FIN and nothing else.
[[gnu::noinline]] void note_first_byte(Rooms& rooms, FlowRecord& f, bool fin) {
  f.clear(kFlowFirstByteDue);
  if (fin) return rooms.felt.forget_first_byte(f.cookie);
  const FlowKey key = rooms.flows.key_of(rooms.flows.index_of(f));
  rooms.felt.first_byte(key, f.cookie, rooms.now.ms32());
}

// One end of a flow: where its stream stands, and what is known of its FIN.
template <Role kEnd>
struct End {
  static constexpr bool kClient = kEnd == Role::kClient;
  static constexpr std::uint16_t kFinSeen = kClient ? kFlowClientFin : kFlowServerFin;
  static constexpr std::uint16_t kFinAcked = kClient ? kFlowClientFinAcked : kFlowServerFinAcked;

  static std::uint32_t& next(FlowRecord& f) { return kClient ? f.client_nxt : f.server_nxt; }
  static bool fin_ahead(const FlowRecord& f) {
    return kClient ? f.has(kFlowClientFinAhead) : f.server_fin_ahead();
  }
  static void set_fin_ahead(FlowRecord& f) {
    if constexpr (kClient) f.set(kFlowClientFinAhead);
    if constexpr (!kClient) f.set_server_fin_ahead();
  }
  static void note_acked(FlowRecord& f, SeqNum ack) {
    kClient ? f.server_acks(ack.value()) : f.client_acks(ack.value());
  }

  static void move(Rooms& rooms, FlowRecord& f, SeqNum to, bool fin) {
    next(f) = to.value();
    if (f.has(kClient ? kFinSeen : kFinSeen | kFlowFirstByteDue)) [[unlikely]] {
      if (!f.has(kFinSeen)) {
        note_first_byte(rooms, f, fin && to == SeqNum(f.cookie + 2));
        if (fin) f.set(kFinSeen);
        return;
      }
      // Nothing follows a FIN, so that one was forged.
      const bool was_closed = closed_by_both(f);
      f.clear(kFinSeen | kFinAcked);
      if (was_closed && is_over(f)) rooms.flows.set_state(f, FlowState::kEstablished);
    }
    if (fin) f.set(kFinSeen);
  }
};

template <Role kFrom>
void note_ack(Rooms& rooms, FlowRecord& f, const Context& c) {
  const Segment& g = c.segment;
  using Peer = End<other(kFrom)>;
  if (g.ack.after(SeqNum(Peer::next(f)))) [[unlikely]] {
    // A damaged number would move the flow's away from its ends.
    if (!checksum_ok(c)) return;
    Peer::move(rooms, f, g.ack, Peer::fin_ahead(f));
  }
  Peer::note_acked(f, g.ack);
  if (f.has(Peer::kFinSeen) && g.ack == SeqNum(Peer::next(f))) f.set(Peer::kFinAcked);
}

// A server that has not got our ACK of its SYN-ACK acknowledges nothing but our SYN, and sends
// nothing new.
void note_through(FlowRecord& f, const Segment& g) {
  if (g.seq_length() != 0 || g.ack.after(SeqNum(f.client_isn + 1))) f.start_acks();
}

// `both_exact`: the RST has an ACK, and both numbers are exact. Nobody guesses two numbers, so the
// ends need not be asked.
void end_by_reset(Rooms& rooms, FlowRecord& f, bool both_exact) {
  // After both FINs the flow cannot revive.
  if (f.state() == FlowState::kClosing && closed_by_both(f)) {
    rooms.flows.set_state(f, FlowState::kFinished);
  } else if (f.state() == FlowState::kEstablished) {
    // A RST that answers a keepalive comes from an end that has forgotten this connection. The
    // other end then speaks to nobody, so the flow cannot revive.
    rooms.flows.set_state(f, f.has(kFlowProbed) ? FlowState::kFinished : FlowState::kClosing);
    count(rooms, f, Reason::conn_reset);
    f.clear(kFlowProbed | kFlowProbedAgain);
  }
  // The answer to a keepalive does not make the rest longer.
  if (!f.has(kFlowProbed)) f.last_seen = rooms.now.ms32();
  if (both_exact) f.set(kFlowProbed);
}

}  // namespace

template <Role kFrom>
void note(Rooms& rooms, FlowRecord& f, const Context& c, SeqNum seq) {
  const Segment& g = c.segment;
  using Own = End<kFrom>;
  constexpr bool kClient = kFrom == Role::kClient;
  touch(rooms, f);
  if (!kClient && !f.has(kFlowServerAcked)) note_through(f, g);
  switch (segment_order(seq.value(), g.seq_length(), Own::next(f))) {
    case SEGMENT_IN_ORDER:
      Own::move(rooms, f, seq + g.seq_length(), g.has(kFin));
      // New data proves that this connection lives, so the mark goes. An old ACK that the SYN has
      // overtaken proves nothing.
      if (kClient) f.clear(kFlowMarked);
      break;
    case SEGMENT_OUT_OF_ORDER:
      if (g.has(kFin)) Own::set_fin_ahead(f);
      break;
    case SEGMENT_REPEATED:
      note_repeat(rooms, f, c.flow, kFrom);
      break;
    case SEGMENT_EMPTY:
      break;
  }
  if (g.has(kAck)) note_ack<kFrom>(rooms, f, c);
  const std::uint32_t window =
      window_bytes(g.window, kClient ? f.client_scale() : f.server_scale());
  kClient ? widen_windows(f, window, 0) : widen_windows(f, 0, window);
  if (f.has((kFlowClientFin | kFlowServerFin))) update_closing(rooms, f);
}

void move_link(Rooms& rooms, const Context& c, FlowRecord& f) {
  if (!checksum_ok(c)) return;
  rooms.frames.follow(f, c.sender, link_header(c.segment));
  rooms.flows.set_look(f, c.sender, look_of(c.segment));
}

template void note<Role::kClient>(Rooms&, FlowRecord&, const Context&, SeqNum);
template void note<Role::kServer>(Rooms&, FlowRecord&, const Context&, SeqNum);

void on_reset(Rooms& rooms, Context& c, FlowRecord& f, SeqNum seq) {
  const Segment& g = c.segment;
  const bool client = c.sender == Role::kClient;
  const std::uint32_t bound = client ? server_window_bound(f) : client_window_bound(f);
  const SeqNum next(client ? f.client_nxt : f.server_nxt);
  const SeqNum acked(client ? f.acked_by_server() : f.acked_by_client());
  if (!seq_fits(seq.value(), next.value(), bound))
    return drop(rooms.counters, c, Reason::rst_out_of_window);
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  if (seq == next || seq == acked) {
    end_by_reset(rooms, f, g.has(kAck) && g.ack == SeqNum(client ? f.server_nxt : f.client_nxt));
  } else if (f.state() == FlowState::kEstablished && !g.has(kAck)) {
    f.set_doubted();
  }
  client ? pass_to_server(rooms, c, f) : pass_to_client(rooms, c, f);
}

void pass_to_server(Rooms& rooms, Context& c, FlowRecord& f) {
  if ((f.options & kFlowServerNoEcn) != 0 && !clear_ect(c.segment)) {
    return drop(rooms.counters, c, Reason::ce_without_ecn);
  }
  if (f.translated() && !translate_to_server(c.segment, f, c.packet->checksum)) {
    rooms.counters.count(Reason::bad_options);
  }
  forward(rooms.counters, c, fate_of(f));
}

void pass_long_to_server(Rooms& rooms, Context& c, FlowRecord& f, FrameSink& sink) {
  const Segment& g = c.segment;
  const std::uint16_t shown = rooms.answerer.services().shown_mss(c.key());
  const std::uint16_t mss = shown != 0 ? shown : default_mss(g.ipv6);
  const std::uint32_t room = TooLong::room_for(g, mss);
  if (g.payload_length <= room) return pass_to_server(rooms, c, f);
  // The pieces get checksums of their own, so damage would no longer be visible.
  if (!checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
  rooms.too_long.tell(g, c.hash, rooms.frames.link_of(f), mss, rooms.now.ms32(), sink);
  pass_to_server(rooms, c, f);
  if (c.packet->verdict == Verdict::kForward) c.packet->length = rooms.too_long.cut(g, room, sink);
}

void pass_to_client(Rooms& rooms, Context& c, FlowRecord& f) {
  if (f.translated() && !translate_to_client(c.segment, f, c.packet->checksum)) {
    rooms.counters.count(Reason::bad_options);
  }
  forward(rooms.counters, c, fate_of(f));
}

}  // namespace synproxy
