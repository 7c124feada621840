// SPDX-License-Identifier: BSD-3-Clause
#include "time/ageing.h"

#include <algorithm>

#include "flows/end_flow.h"
#include "spliced/progress.h"

namespace synproxy {
namespace {

// The two ends of an idle connection have this long to answer the keepalive.
constexpr std::uint32_t kProbeLeadMs = 75'000;

std::uint32_t probe_lead(const EngineTuning& tuning) {
  return std::min(kProbeLeadMs, tuning.idle_timeout_ms / 4);
}

// The same for a connection that a RST has closed.
constexpr std::uint32_t kResetProbeLeadMs = 5'000;

std::uint32_t reset_probe_lead(const EngineTuning& tuning) {
  return std::min(kResetProbeLeadMs, tuning.close_timeout_ms / 4);
}

// What a keepalive says: numbers that both ends know.
struct ProbeNumbers {
  std::uint32_t client;  // what the server takes for received
  std::uint32_t server;  // what the client takes for received
};

// RFC 9293 section 3.8.4: a keepalive has the number of the byte before the next one, which the
// receiver acknowledged long ago.
void probe_ends(Rooms& rooms, const FlowRecord& f, const FlowKey& key, const ProbeNumbers& n,
                bool timestamps, FrameSink& sink) {
  TcpReply r;
  r.flags = kAck;
  // By RFC 9293 nobody looks at it, because the segment is not acceptable. lwIP takes it if it is
  // larger than the one before.
  r.window = 0;
  r.timestamps = timestamps;
  r.seq = SeqNum(n.client) - 1;
  r.ack = SeqNum(n.server + f.spliced().delta);
  r.tsval = f.old_tsval();
  rooms.frames.send(f, key, Role::kServer, r, sink);
  r.seq = SeqNum(n.server) - 1;
  r.ack = SeqNum(n.client);
  rooms.frames.send(f, key, Role::kClient, r, sink);
  rooms.counters.count(Reason::keepalive_probe, 2);
}

// The proxy knows no TSval that is new enough. By RFC 7323 an end answers an old TSval (section
// 5.3, R1) and drops a segment without one (section 3.2). Linux 6.18 does the opposite of both. So
// each end gets one of each kind.
void probe(Rooms& rooms, FlowIndex i, const ProbeNumbers& n, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  const FlowKey key = rooms.flows.key_of(i);
  probe_ends(rooms, f, key, n, false, sink);
  if ((f.options & kFlowTimestamps) != 0) probe_ends(rooms, f, key, n, true, sink);
}

// All that was sent was acknowledged long ago.
void probe_idle(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  f.set(kFlowProbed);
  probe(rooms, i, {f.client_nxt, f.server_nxt}, sink);
}

// After a RST. Data may be under way, and nothing may acknowledge what its receiver has not got. An
// end that has forgotten the connection answers with a RST that has our ACK's number, which is
// exact (on_reset).
void probe_after_reset(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  probe(rooms, i, {f.acked_by_server(), f.acked_by_client()}, sink);
}

void expire_idle(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const FlowKey key = rooms.flows.key_of(i);
  rooms.frames.send_rst(f, key, Role::kClient, sink);
  rooms.frames.send_rst(f, key, Role::kServer, sink);
  rooms.counters.count(Reason::conn_idle);
  // If our RST was not exact for an end, that end asks (RFC 5961 section 3.2) and gets an answer.
  rooms.flows.set_state(f, FlowState::kTombstone);
  f.last_seen = rooms.now.ms32();
}

// RFC 5382 REQ-5 gives a closing connection four minutes, and an established one more than two
// hours. An end may still repeat its last segment, and the repeat may back off for longer than
// `close_timeout_ms`. All other states that come here are over.
std::uint32_t life_after(const EngineTuning& tuning, const FlowRecord& f) {
  const bool closing = f.state() == FlowState::kClosing && closed_by_both(f);
  return tuning.close_timeout_ms * (closing ? 4 : 1);
}

// How long the server may be silent. Errors that may pass shorten the wait to the time of a few
// SYNs (0, 0.2, 0.6, 1.4, 2.4 s): BSD gives up after the fourth, Linux after the first.
std::uint32_t patience(const EngineTuning& tuning, const FlowRecord& f) {
  constexpr std::uint32_t kAfterSoftErrorMs = 3000;
  return f.has(kFlowSoftError) ? std::min(kAfterSoftErrorMs, tuning.server_timeout_ms)
                               : tuning.server_timeout_ms;
}

// In line with the loop over the records: most of them need no more than a look.
void age(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const std::uint32_t idle = rooms.now.ms32() - f.last_seen;
  const EngineTuning& tuning = rooms.now.tuning();
  switch (f.state()) {
    case FlowState::kFree:
      return;
    case FlowState::kSynSent:
      if (idle < patience(tuning, f)) return;
      rooms.counters.count(Reason::conn_timed_out);
      return give_up(rooms, i, true, true, sink);
    case FlowState::kEstablished: {
      if (f.doubted()) {
        f.clear_doubted();
        probe_after_reset(rooms, i, sink);
      }
      const std::uint32_t probe_at = tuning.idle_timeout_ms - probe_lead(tuning);
      if (idle < probe_at) return;
      if (!f.has(kFlowProbed)) {
        probe_idle(rooms, i, sink);
        f.last_seen =
            rooms.now.ms32() - probe_at;  // both ends get the whole lead, even if we are late
      } else if (idle >= tuning.idle_timeout_ms &&
                 rooms.now.earlier().same_idle_for(probe_lead(tuning), rooms.now.ms())) {
        expire_idle(rooms, i, sink);
      }
      return;
    }
    case FlowState::kClosing:
      // A RST may have been forged. Who lives answers, and the connection comes back.
      if (!closed_by_both(f) && !f.has(kFlowProbed) &&
          idle >= life_after(tuning, f) - reset_probe_lead(tuning)) {
        f.set(kFlowProbed);
        probe_after_reset(rooms, i, sink);
        f.last_seen = rooms.now.ms32() - (life_after(tuning, f) - reset_probe_lead(tuning));
        return;
      }
      [[fallthrough]];
    default:
      if (idle >= life_after(tuning, f)) free_flow(rooms, i);
  }
}

}  // namespace

void age_flows(Rooms& rooms, FrameSink& sink) {
  rooms.flows.sweep(rooms.now.ms(), [&](FlowIndex i) { age(rooms, i, sink); });
}

}  // namespace synproxy
