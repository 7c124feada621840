// SPDX-License-Identifier: BSD-3-Clause
// Which SYNs pass to the server, and what the server may answer besides a SYN-ACK.
#include <cstring>

#include "spliced/progress.h"
#include "syn/answer_syn.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/tcp_options.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// A connection that is spliced or on its way there has numbers of its own. A SYN on it is answered
// with a cookie in every mode, as long as it lives.
bool stands_in_the_way(const FlowRecord& f) {
  if (f.state() == FlowState::kPassed) return f.opened_by_server();
  return f.translated() && !is_over(f) && f.state() != FlowState::kTombstone;
}

bool is_half_open(const Rooms& rooms, const Context& c) {
  return c.flow != kNoFlow && rooms.flows[c.flow].state() == FlowState::kPassed;
}

ActiveService name_of(const KeyView& key, const Activation::Began& began) {
  ActiveService out;
  out.ipv6 = key.ipv6();
  out.address = server_of(key);
  out.vlan = vlan_of(key.identity).packed;
  out.port = server_port_of(key.identity);
  out.cell = began.cell;
  out.value = began.value;
  out.by_rate = began.why == Activation::Why::kSynRate;
  out.named = began.named;
  out.monitored = began.monitored;
  return out;
}

}  // namespace

bool passes_syn(Rooms& rooms, Context& c) {
  if (c.flow != kNoFlow && stands_in_the_way(rooms.flows[c.flow])) return false;
  // The repeat of a SYN whose handshake has begun with the server goes there too.
  const bool half_open = is_half_open(rooms, c);
  const auto answered = [&] {
    return !half_open && rooms.answerer.offer(rooms.now, c.key()).has(kOffersCookies);
  };
  if (answered()) return false;
  Watch& watch = rooms.watch;
  if (is_adaptive(rooms, c)) {
    count_syn(rooms, c);
    if (answered()) return false;
  }
  const Segment& g = c.segment;
  watch.notes.add(c.hash, g.seq, parse_tcp_options(g.options(), g.options_size()), asks_for_ecn(g),
                  rooms.now.ms32());
  rooms.counters.count(Reason::syn_received);
  forward(rooms.counters, c, Reason::watched);
  return true;
}

bool answers_passed_syn(Rooms& rooms, Context& c) {
  const std::uint32_t now = rooms.now.ms32();
  const Segment& g = c.segment;
  if (!rooms.watch.expects_answers(now)) return false;
  // RFC 9293 section 3.10.7.1: a refusal has the number 0. Any other RST may answer what the proxy
  // has asked about a client whose cookie is still on its way (unknown.cc), and would kill it.
  // A challenge ACK is of a server that still has an older connection.
  const SynNotes& notes = rooms.watch.notes;
  const bool answers = g.has(kRst) ? g.seq == SeqNum(0) && g.has(kAck) &&
                                         notes.answered(c.hash, g.ack, now) != nullptr
                                   : notes.find(c.hash, now) != nullptr;
  if (answers) forward(rooms.counters, c, Reason::watched);
  return answers;
}

void settle_activation(Rooms& rooms, const Context& c) {
  Activation::Began began;
  if (!rooms.watch.activation.take_began(began)) [[likely]]
    return;
  rooms.answerer.offers_changed();
  rooms.services.count(c.key(), began.monitored ? Reason::mode_monitored : Reason::cookies_began);
  rooms.watch.active.add(name_of(c.key(), began));
}

void tick_watch(Rooms& rooms) {
  Watch& watch = rooms.watch;
  watch.activation.tick(rooms.now.ms(), [&](std::uint16_t cell, bool monitored) {
    rooms.answerer.offers_changed();
    if (!monitored) rooms.counters.count(Reason::cookies_ended);
    watch.active.remove(cell);
  });
  rooms.counters.half_open.set(watch.activation.half_open());
  rooms.counters.cookies_by_half_open.set(watch.activation.active_by(Activation::Why::kHalfOpen));
  rooms.counters.cookies_by_rate.set(watch.activation.active_by(Activation::Why::kSynRate));
}

}  // namespace synproxy
