// SPDX-License-Identifier: BSD-3-Clause
#include "syn/ask_first.h"

#include "frames/segment_piece.h"
#include "syn/answer_syn.h"

namespace synproxy {

namespace {

// Whether the client was promised all that the server has agreed to with its SYN. If so, the server
// takes our SYN, which has the same number, for a repeat of the client's, and answers it alike.
bool promises(const TcpReply& to_client, const Context& c) {
  const TcpOptions o = parse_tcp_options(c.segment.options(), c.segment.options_size());
  return (to_client.timestamps || !o.timestamps) &&
         (to_client.sack_permitted || !o.sack_permitted) &&
         ((to_client.flags & kEce) != 0 || !c.segment.has(kEce)) &&
         (to_client.window_scale != kNoScale || o.window_scale == kNoScale);
}

}  // namespace

bool ask_first(Rooms& rooms, Context& c, std::uint32_t covered_isn) {
  Doubts& doubts = rooms.answerer.doubts();
  const std::uint32_t now = rooms.now.ms32();
  if (!doubts.any() || !doubts.doubted(c.key(), now)) return false;
  const Segment& g = c.segment;
  if (g.payload_length != 0 && !checksum_ok(c)) {
    drop(rooms.counters, c, Reason::bad_checksum);
    return true;
  }
  SynAckRepeats::Entry* waiting = doubts.ask(c.key(), c.hash, now);
  if (waiting == nullptr) return false;
  const EpochKeys& keys = *rooms.now.keys().current();
  const LayoutKey& key = key_of_layout(keys, c.syn.timestamps());
  const std::uint64_t mac = siphash24(key.k0, key.k1, cookie_mac_input(c.key(), covered_isn));
  rooms.now.note_cookie();
  fill_in(*waiting, c, syn_ack_of(c, keys, mac, c.syn.says));
  if (c.flow == kNoFlow) rooms.counters.count(Reason::syn_received);
  forward(rooms.counters, c, Reason::asked);
  if (g.payload_length != 0) {
    // A server that took the data would count them, and our SYN, which has none, would not fit. The
    // client sends them again.
    make_piece(g.frame, g, 0, 0, 0);
    c.packet->length = std::uint32_t{g.l4_offset} + g.header_length;
  }
  return true;
}

bool answers_asked(Rooms& rooms, Context& c, FrameSink& sink) {
  Doubts& doubts = rooms.answerer.doubts();
  const Segment& g = c.segment;
  if (!doubts.asking() || !g.has(kAck)) return false;
  const SynAckRepeats::Entry* waiting = doubts.asked(c.key(), c.hash, g.ack - 1, rooms.now.ms32());
  if (waiting == nullptr) return false;
  if (!g.has(kSyn | kRst)) {
    // RFC 9293 section 3.10.7.3, fifth step. A server in SYN-RECEIVED sends this ACK when a late
    // segment of an older connection arrives. A RST with its number would kill the one in the
    // making.
    drop(rooms.counters, c, Reason::no_flow_server);
    return true;
  }
  if (!checksum_ok(c)) {
    drop(rooms.counters, c, Reason::bad_checksum);
    return true;
  }
  if (g.has(kRst)) {
    doubts.found_dead(c.hash);
    note_dead(rooms, c.key());
    forward(rooms.counters, c, Reason::asked);
    return true;
  }
  note_answer(rooms, c.key());
  const IpLook look{waiting->look.first, look_of(c.segment).ttl};
  rooms.frames.send_syn_ack(waiting->link, waiting->key, waiting->syn_ack, look, sink);
  rooms.counters.count(Reason::synack_late);
  doubts.found_alive(c.hash, rooms.now.ms32());
  if (promises(waiting->syn_ack, c)) {
    drop(rooms.counters, c, Reason::consumed);
  } else {
    answer_with_rst(rooms.counters, c, Reason::consumed);
  }
  return true;
}

bool error_answers_asked(Rooms& rooms, const KeyView& key, std::uint64_t hash, SeqNum isn,
                         bool refusal) {
  if (rooms.answerer.doubts().asked(key, hash, isn, rooms.now.ms32()) == nullptr) return false;
  if (refusal) note_dead(rooms, key);
  return true;
}

void note_dead(Rooms& rooms, const KeyView& key) {
  if (rooms.answerer.note_dead(key, rooms.now.ms32())) {
    rooms.counters.count(Reason::service_doubted);
  }
}

void note_answer(Rooms& rooms, const KeyView& key) {
  if (rooms.answerer.doubts().alive(key)) rooms.counters.count(Reason::service_back);
}

}  // namespace synproxy
