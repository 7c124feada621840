// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/unknown.h"

#include "burst/flow_key.h"
#include "syn/earlier_syn.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/wire/tcp_options.h"
#include "watched/adopt.h"

namespace synproxy {
namespace {

// To the other end, the way that the segment itself would have gone.
void send(Rooms& rooms, const Context& c, const TcpReply& reply, Reason made, FrameSink& sink) {
  FlowKey key;
  key_of(c.segment, c.sender, key);
  rooms.frames.send(link_header(c.segment), key, other(c.sender), reply, look_of(c.segment), sink);
  rooms.counters.count(made);
}

}  // namespace

void send_rst_on(Rooms& rooms, const Context& c, SeqNum seq, FrameSink& sink) {
  TcpReply rst;
  rst.seq = seq;
  rst.flags = kRst;
  send(rooms, c, rst, c.sender == Role::kServer ? Reason::rst_to_client : Reason::rst_to_server,
       sink);
}

// Without the timestamps of the segment the other end might not answer.
void send_probe_on(Rooms& rooms, const Context& c, SeqNum seq, FrameSink& sink) {
  const Segment& g = c.segment;
  const Timestamps timestamps = find_timestamps(g.options(), g.options_size());
  TcpReply probe;
  probe.seq = seq;
  probe.ack = g.ack;
  probe.flags = kAck;
  probe.window = g.window;
  probe.timestamps = timestamps.present;
  probe.tsval = timestamps.tsval;
  probe.tsecr = timestamps.tsecr;
  send(rooms, c, probe, Reason::unknown_probe, sink);
}

void pass_unknown(Rooms& rooms, Context& c, const ServiceTuning& tuning) {
  if (tuning.monitors_unknown()) rooms.counters.count(Reason::unknown_monitored);
  forward(rooms.counters, c, Reason::unknown_forwarded);
}

void pass_unknown_client(Rooms& rooms, Context& c, const ServiceTuning& tuning) {
  const bool parsed = c.kind == Kind::kTcp;  // in a flood ACKs are decided before they are
  if (parsed && quotes_our_syn_ack(rooms, c)) {
    return drop(rooms.counters, c, Reason::cookie_invalid);
  }
  pass_unknown(rooms, c, tuning);
}

void on_unknown_client(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  constexpr Reason kWhy = Reason::cookie_invalid;
  if (rooms.adopts) return on_older_client(rooms, c, sink);
  const ServiceTuning& tuning = rooms.services.tuning(c.key());
  if (tuning.forwards_unknown()) return pass_unknown_client(rooms, c, tuning);
  const bool tells = tuning.unknown == Unknown::kReset && rooms.strangers.curious();
  if (!tells || !g.has(kAck)) return drop(rooms.counters, c, kWhy);
  switch (rooms.strangers.client(c.hash, g.ack.value(), rooms.now.ms32())) {
    case Strangers::Advice::kWait:
      return drop(rooms.counters, c, kWhy);
    case Strangers::Advice::kAskServer:
      // RFC 9293 section 3.8.4: a keepalive has the number of the byte before the next one.
      if (!quotes_our_syn_ack(rooms, c) && checksum_ok(c)) send_probe_on(rooms, c, g.seq - 1, sink);
      return drop(rooms.counters, c, kWhy);
    case Strangers::Advice::kReset:
      break;
  }
  if (!checksum_ok(c)) return drop(rooms.counters, c, kWhy);
  // The client's own number is the server's too.
  send_rst_on(rooms, c, g.seq, sink);
  rooms.counters.count(Reason::conn_unknown);
  answer_with_rst(rooms.counters, c, kWhy);
}

void on_unknown_syn_ack(Rooms& rooms, Context& c) {
  if (rooms.services.mode_of(c.key()) == Mode::kOff) {
    return forward(rooms.counters, c, Reason::unknown_forwarded);
  }
  drop(rooms.counters, c, Reason::syn_ack_client);
}

void on_unknown_reset(Rooms& rooms, Context& c) {
  if (rooms.adopts) return on_older_client_reset(rooms, c);
  const ServiceTuning& tuning = rooms.services.tuning(c.key());
  if (tuning.forwards_unknown()) return pass_unknown(rooms, c, tuning);
  drop(rooms.counters, c, Reason::no_flow_client);
}

void on_unknown_server(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  constexpr Reason kWhy = Reason::no_flow_server;
  const ServiceTuning& tuning = rooms.services.tuning(c.key());
  // It may answer a client whose cookie was sent before SYNs began to pass, and whose handshake ACK
  // was overtaken. That client opens its connection with its next segment. For any other, the
  // server repeats its RST as often as it is asked.
  if (g.has(kRst) && tuning.mode == Mode::kOff &&
      rooms.now.may_be_ours(cookie_parity((g.seq - 1).value()))) {
    return drop(rooms.counters, c, kWhy);
  }
  if (rooms.adopts) return on_older_server(rooms, c, sink);
  if (tuning.forwards_unknown()) return pass_unknown(rooms, c, tuning);
  // A RST is never answered.
  const bool asks = (g.flags & (kAck | kRst)) == kAck;
  if (tuning.unknown != Unknown::kReset || !asks || !checksum_ok(c)) {
    return drop(rooms.counters, c, kWhy);
  }
  Strangers::ToClient client;
  if (!rooms.strangers.server(c.hash, rooms.now.ms32(), client)) {
    return drop(rooms.counters, c, kWhy);
  }
  if (client.known) {
    send_rst_on(rooms, c, SeqNum(client.seq), sink);
  } else {
    // Exact, unless an earlier proxy has translated the connection. Then the client answers the
    // ACK, and is told.
    send_rst_on(rooms, c, g.seq, sink);
    send_probe_on(rooms, c, g.seq, sink);
  }
  rooms.counters.count(Reason::conn_unknown);
  answer_with_rst(rooms.counters, c, kWhy);
}

}  // namespace synproxy
