// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/splice.h"

#include <algorithm>

#include "flows/end_flow.h"
#include "handshake/ask_server.h"
#include "spliced/progress.h"
#include "synproxy/proxy/translate.h"
#include "synproxy/proxy/window_scale.h"

namespace synproxy {
namespace {

// Takes over the options of the server's SYN-ACK. False: the client was promised timestamps that
// the server does not have.
bool keep_promises(Rooms& rooms, FlowRecord& f, const Segment& g, const TcpOptions& o) {
  if ((f.options & kFlowTimestamps) != 0 && !o.timestamps) return false;
  if ((f.options & kFlowClientScales) != 0 && o.window_scale != kNoScale) {
    f.options |= kFlowServerScales;
    f.set_scales(f.client_scale(), o.window_scale);
  }
  if ((f.options & kFlowSack) != 0 && !o.sack_permitted) {
    f.options |= kFlowServerNoSack;
    rooms.counters.count(Reason::server_no_sack);
  }
  if ((f.options & kFlowEcn) != 0 && !is_ecn_setup(g)) {
    f.options |= kFlowServerNoEcn;
    rooms.counters.count(Reason::server_no_ecn);
  }
  return true;
}

// The largest MSS that the client may have been promised.
std::uint16_t promised_mss(const Moment& now, std::uint16_t auto_mss) {
  const std::uint16_t fixed = now.tuning().offer.mss;
  return std::max(fixed != 0 ? fixed : auto_mss, now.earlier().most_mss(now.epoch()));
}

// Sends the held segments, as far as the server's window of `budget` bytes allows. The client
// resends the rest. Returns how many were sent. `mss`: what is longer is cut; `hash`: of the flow.
unsigned release_early(Rooms& rooms, FlowRecord& f, EarlyStore::Handle head, std::uint32_t budget,
                       std::uint16_t mss, std::uint64_t hash, FrameSink& sink) {
  unsigned sent = 0;
  SeqNum next(f.client_isn + 1);
  f.clear(kFlowClientFin);  // set again when a held FIN is sent
  rooms.handshakes.release(head, [&](std::span<std::uint8_t> frame) {
    Segment g;
    parse_frame(frame.data(), frame.size(), g);
    if (g.result != ParseResult::kTcp || g.payload_length > budget) return false;
    const std::uint32_t room = TooLong::room_for(g, mss);
    const bool cut = g.payload_length > room;
    if (cut) rooms.too_long.tell(g, hash, rooms.frames.link_of(f), mss, rooms.now.ms32(), sink);
    if ((f.options & kFlowServerNoEcn) != 0 && !clear_ect(g)) return false;
    budget -= g.payload_length;
    if (!translate_to_server(g, f)) rooms.counters.count(Reason::bad_options);
    if (g.has(kFin)) f.set(kFlowClientFin);
    next = g.seq_end();
    if (cut) {
      rooms.too_long.send_cut(g, room, sink);
    } else {
      sink.emit(Role::kServer, frame);
    }
    rooms.counters.count(Reason::early_released);
    ++sent;
    return true;
  });
  f.client_nxt = next.value();
  return sent;
}

// Tells the client the server's window. A client that was shown too small a window would wait for
// this.
void send_window_update(Rooms& rooms, FlowIndex i, std::uint16_t window, std::uint32_t our_tsval,
                        FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  TcpReply update;
  update.seq = SeqNum(f.cookie + 1);
  update.ack = SeqNum(f.client_isn + 1);
  update.flags = kAck;
  update.window = window_to_client(window, 0, f.offered_scale());  // a SYN-ACK's is never scaled
  update.timestamps = (f.options & kFlowTimestamps) != 0;
  update.tsval = our_tsval;
  update.tsecr = f.opening_tsval;
  rooms.frames.send(f, rooms.flows.key_of(i), Role::kClient, update, sink);
  rooms.counters.count(Reason::window_update);
}

}  // namespace

void splice(Rooms& rooms, Context& c, FlowRecord& f, const TcpOptions& o, std::uint16_t auto_mss,
            FrameSink& sink) {
  const Segment& g = c.segment;
  const FlowBook::Change change(rooms.flows, c.flow);
  if (!keep_promises(rooms, f, g, o)) {
    rooms.counters.count(Reason::server_no_timestamps);
    drop(rooms.counters, c, Reason::consumed);
    return give_up(rooms, c.flow, true, true, sink);
  }
  const HandshakePart before = f.handshake();
  const bool timestamps = (f.options & kFlowTimestamps) != 0;
  rooms.flows.become_spliced(change, f, FlowState::kEstablished,
                             {.delta = g.seq.value() - f.cookie,
                              .ts_delta = timestamps ? o.tsval - before.our_tsval : 0,
                              .window = before.window,
                              .mark_second = rooms.now.second()});
  rooms.flows.set_look(f, Role::kServer, look_of(g));
  rooms.frames.learn_way(f, rooms.flows.key_of(c.flow), link_header(g));
  rooms.turns_answers = rooms.frames.turns_answers();
  if (rooms.frames.has_moved(f, Role::kServer, g.frame)) {
    rooms.frames.complete_link(f, Role::kServer, link_header(g));
  }
  f.last_seen = rooms.now.ms32();
  // A mark stays: the client may have begun anew while the server was silent.
  if (f.has(kFlowMarked)) f.set(kFlowMarkTimed);
  f.set_mark_tries(0);
  const std::uint16_t mss = std::max(o.mss != 0 ? o.mss : default_mss(g.ipv6), kLeastMss);
  const bool shorter = mss < promised_mss(rooms.now, auto_mss);
  if (shorter) rooms.too_long.note(c.flow);
  widen_windows(f, window_bytes(before.window, f.client_scale()), g.window);
  rooms.services.count(c.key(), Reason::conn_established);
  if (f.has(kFlowFirstByteDue)) [[unlikely]] {
    rooms.felt.accepted(rooms.flows.key_of(c.flow), rooms.now.ms32());
  }

  answer_syn_ack(rooms, c, f, o.tsval);

  if (release_early(rooms, f, before.early, g.window, shorter ? mss : 0xffff, c.hash, sink) != 0) {
    f.set(kFlowSpoke);
  } else {
    rooms.handshakes.await_speech(c.flow, f, o.tsval, rooms.now.ms32());
  }
  if (rooms.now.least_early_window() < kSmallestSegment) {
    send_window_update(rooms, c.flow, g.window, before.our_tsval, sink);
  }
}

void answer_syn_ack(Rooms& rooms, Context& c, const FlowRecord& f, std::uint32_t tsval) {
  answer(rooms.counters, c, handshake_ack(rooms, c.flow, tsval), rooms.flows.look(f, Role::kClient),
         Reason::consumed, Reason::ack_to_server);
}

TcpReply handshake_ack(const Rooms& rooms, FlowIndex i, std::uint32_t tsecr) {
  const FlowRecord& f = rooms.flows[i];
  TcpReply r;
  r.seq = SeqNum(f.client_isn + 1);
  r.ack = SeqNum(f.cookie + f.spliced().delta + 1);
  r.flags = kAck;
  r.window = opening_window(f, f.spliced().window, (f.options & kFlowServerScales) != 0);
  r.timestamps = (f.options & kFlowTimestamps) != 0;
  r.tsval = f.opening_tsval;
  // A true echo would give the server a sample (RFC 7323 section 4.1). 0 is what a sender without
  // an echo writes.
  r.tsecr = hides_rtt(rooms, i) ? 0 : tsecr;
  return r;
}

void send_ack(Rooms& rooms, FlowIndex i, std::uint32_t tsecr, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  rooms.frames.send(f, rooms.flows.key_of(i), Role::kServer, handshake_ack(rooms, i, tsecr), sink);
  rooms.counters.count(Reason::ack_to_server);
}

}  // namespace synproxy
