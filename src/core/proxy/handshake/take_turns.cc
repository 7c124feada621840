// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/take_turns.h"

#include "flows/end_flow.h"
#include "handshake/admit.h"
#include "handshake/ask_server.h"

namespace synproxy {
namespace {

// With the repeat after 0.6 s a server is silent: even a distant one has answered by then. With the
// one after 1.4 s a connection has had its chance.
constexpr std::size_t kSilentLevel = 1;
constexpr std::size_t kYieldLevel = 2;
constexpr std::uint32_t kSilentMs = kRetryMs[0] + kRetryMs[1];
constexpr std::uint32_t kYieldMs = kSilentMs + kRetryMs[2];

// One SYN, even where two would hide the round trip: the server has more to do than it can. A flow
// that has asked before asks once a second, as the last repeats do.
void ask_in_turn(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const std::size_t level = f.unasked() ? 0 : kLastRetry;
  f.clear(kFlowUnasked);
  send_syn(rooms, i, false, sink);
  if (level != 0) rooms.counters.count(Reason::syn_to_server_retrans);
  rooms.handshakes.await_syn_ack(i, f, rooms.now.ms32(), level);
}

}  // namespace

bool waits_for_turn(Rooms& rooms, FlowIndex i, const Context& c, bool above) {
  const Segment& g = c.segment;
  const bool allowed = is_allowed(rooms, c);
  if (allowed && !rooms.limiter.on()) rooms.services.count(c.key(), Reason::limit_allowed);
  above = above || allowed;
  switch (rooms.turns.arrive(i, c.key(), g.source(), above)) {
    case Turns::Turn::kGoes:
      return false;
    case Turns::Turn::kGoesMonitored:
      rooms.services.count(c.key(), Reason::backlog_monitored);
      return false;
    case Turns::Turn::kGoesUnbounded:
      rooms.counters.count(Reason::backlog_unbounded);
      return false;
    case Turns::Turn::kWaits:
      break;
  }
  rooms.services.count(c.key(), Reason::backlog_waited);
  rooms.flows[i].set(kFlowWaits | kFlowUnasked);
  return true;
}

void give_up_waiting(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  const Reason why = f.unasked() ? Reason::backlog_expired : Reason::conn_timed_out;
  rooms.services.count([&] { return rooms.flows.key_of(i); }, why);
  give_up(rooms, i, true, true, sink);
}

// For a flow that has waited too long no server is asked any more.
void take_turns(Rooms& rooms, bool tick, FrameSink& sink) {
  rooms.turns.run(tick, [&](FlowIndex i) {
    FlowRecord& f = rooms.flows[i];
    f.clear(kFlowWaits);
    if (rooms.now.ms32() - f.last_seen >= rooms.now.tuning().server_timeout_ms) {
      return give_up_waiting(rooms, i, sink);
    }
    ask_in_turn(rooms, i, sink);
  });
}

bool keeps_asking(Rooms& rooms, FlowIndex i, std::size_t level) {
  if (level == kSilentLevel && rooms.turns.silent(i, rooms.now.ms32() - kSilentMs)) {
    rooms.counters.count(Reason::backlog_halved);
  }
  if (level < kYieldLevel) return true;
  const FlowKey key = rooms.flows.key_of(i);
  if (!rooms.turns.yield(i, key, key.client.data())) return true;
  rooms.counters.count(Reason::backlog_yielded);
  rooms.flows[i].set(kFlowWaits);
  return false;
}

bool may_be_dead(const Rooms& rooms, FlowIndex i) {
  return !rooms.turns.on() || !rooms.turns.answers_others(i, kYieldMs);
}

}  // namespace synproxy
