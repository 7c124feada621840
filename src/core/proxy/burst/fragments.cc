// SPDX-License-Identifier: BSD-3-Clause
// Fragments: each goes to the reassembler, and what is whole goes through the stages.
#include "burst/stages.h"
#include "burst/turn_answers.h"
#include "synproxy/wire/fragment.h"

namespace synproxy {
namespace {

// In the sizes in which it came: its next hop takes what the last one took.
void send_as_it_came(Rooms& rooms, const Context& c, const CameInFragments& came, Role to,
                     FrameSink& sink) {
  const std::span<const std::uint8_t> frame(c.packet->data, c.packet->length);
  FragmentCutter cutter(frame, c.segment.l3_offset, c.segment.ipv6, came);
  if (cutter.fits()) return sink.emit(to, frame);
  while (const std::size_t size = cutter.next(rooms.fragment)) {
    sink.emit(to, std::span(rooms.fragment).first(size));
  }
}

}  // namespace

void decide_whole(Rooms& rooms, Role sender, Packet& whole, const CameInFragments& came,
                  FrameSink& sink) {
  Arrival found;
  if (rooms.vlans_paired) name_vlan_of(rooms, sender, whole, found);
  const NamedServices::Tally tally(rooms.services, sender, {&whole, 1});
  if (sender == Role::kClient && screen_whole(rooms, whole, tally))
    return sink.decided(sender, whole);
  Context& c = rooms.context_of_whole();
  c = {};
  c.packet = &whole;
  c.sender = sender;
  c.kind = Kind::kTcp;
  const std::span<Context> alone(&c, 1);
  classify(rooms, alone);
  if (c.kind == Kind::kFragment) {  // a fragment header behind the first one
    drop(rooms.counters, c, Reason::fragment_bad);
    return sink.decided(sender, whole);
  }
  const bool tcp = c.kind == Kind::kTcp;
  look_up(rooms.flows, alone);
  if (sender == Role::kClient) make_and_check_cookies(rooms, alone);
  act(rooms, alone, sink);
  sink.decided(sender, whole);
  if (whole.verdict == Verdict::kDrop) return;
  if (whole.verdict == Verdict::kReply) {
    if (rooms.turns_answers) turn_answers(rooms, sender, {&whole, 1}, alone);
    return sink.emit(sender, {whole.data, whole.length});
  }
  if (tcp && c.flow != kNoFlow) {
    rooms.sources->learn(rooms.reassembler.source_of(c.segment, sender), rooms.now.ms());
  }
  send_as_it_came(rooms, c, came, other(sender), sink);
}

void on_fragment(Rooms& rooms, Context& c, FrameSink& sink) {
  Reassembler::Whole whole;
  drop(rooms.counters, c,
       rooms.reassembler.take(c.segment, c.sender, *rooms.sources, rooms.now.ms(), whole));
  if (whole.frame == nullptr) return;
  if (sink.hand_over(c.sender, {whole.frame, whole.length}, whole.came)) return;
  Packet packet{.data = whole.frame, .length = whole.length, .room = whole.room};
  decide_whole(rooms, c.sender, packet, whole.came, sink);
}

}  // namespace synproxy
