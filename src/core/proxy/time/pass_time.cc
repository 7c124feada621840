// SPDX-License-Identifier: BSD-3-Clause
#include "time/pass_time.h"

#include "handshake/ask_server.h"
#include "handshake/splice.h"
#include "handshake/take_turns.h"
#include "syn/ask_first.h"
#include "syn/cap_replies.h"
#include "time/ageing.h"

namespace synproxy {
namespace {

// One call never takes longer than a few bursts do.
constexpr unsigned kMaxRepeatsPerTick = 512;

// With this repeat, after 1.4 s, the server counts as silent.
constexpr std::size_t kSilentRetry = 2;

// No flow was opened for that SYN, or the flow that is there belongs to an older SYN and carries
// the mark of this one.
bool unanswered(const FlowBook& flows, const SynAckRepeats::Entry& e) {
  const FlowIndex i = flows.find(e.key);
  if (i == kNoFlow) return true;
  const FlowRecord& f = flows[i];
  const std::uint32_t isn = (e.syn_ack.ack - 1).value();
  return f.has(kFlowMarked) && f.mark_isn == isn && f.client_isn != isn;
}

void repeat_syns(Rooms& rooms, FrameSink& sink) {
  const auto repeat = [&](FlowIndex i, std::size_t level) {
    if (rooms.turns.on() && !keeps_asking(rooms, i, level)) return false;
    // A server that has answered this flow, if only with an ACK of an older connection, is no
    // silent one.
    if (level >= kSilentRetry && !rooms.flows[i].has(kFlowAskedAgain) && may_be_dead(rooms, i)) {
      note_dead(rooms, rooms.flows.key_of(i));
    }
    send_syn(rooms, i, false, sink);
    rooms.counters.count(Reason::syn_to_server_retrans);
    return true;
  };
  rooms.handshakes.run_syns(rooms.flows, rooms.now.ms32(), kMaxRepeatsPerTick, repeat);
}

void repeat_syn_acks(Rooms& rooms, FrameSink& sink) {
  rooms.answerer.repeats().run(
      rooms.now.ms32(), kMaxRepeatsPerTick, [&](const SynAckRepeats::Entry& waiting) {
        if (!unanswered(rooms.flows, waiting) || !may_repeat_reply(rooms, waiting.key)) {
          return false;
        }
        rooms.frames.send_syn_ack(waiting.link, waiting.key, waiting.syn_ack, waiting.look, sink);
        rooms.counters.count(Reason::synack_repeated);
        return true;
      });
}

void repeat_acks(Rooms& rooms, FrameSink& sink) {
  rooms.handshakes.run_acks(
      rooms.flows, rooms.now.ms32(), kMaxRepeatsPerTick,
      [&](FlowIndex i, std::uint32_t tsecr) { send_ack(rooms, i, tsecr, sink); });
}

}  // namespace

void pass_time(Rooms& rooms, FrameSink& sink) {
  if (rooms.offloads.any()) tick_offloads(rooms);  // ageing looks at what it notes
  repeat_syns(rooms, sink);
  repeat_syn_acks(rooms, sink);
  repeat_acks(rooms, sink);
  rooms.answerer.syn_times().tick(rooms.now.ms32());
  age_flows(rooms, sink);
  if (rooms.turns.waiting() != 0) take_turns(rooms, true, sink);
}

}  // namespace synproxy
