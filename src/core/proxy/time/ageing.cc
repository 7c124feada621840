// SPDX-License-Identifier: BSD-3-Clause
#include "time/ageing.h"

#include <algorithm>

#include "flows/doubt.h"
#include "flows/end_flow.h"
#include "handshake/take_turns.h"
#include "spliced/progress.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// The two ends of an idle connection have this long to answer one of two keepalives.
constexpr std::uint32_t kProbeLeadMs = 75'000;
// A doubtful flow (flows/doubt.h) is kept in silence this long at most; its ends are asked after
// 113 s. A server that closes keeps its half of a connection for a minute (Linux, FIN_WAIT_2).
constexpr std::uint32_t kDoubtMs = 150'000;

// What is left of the timeouts while the table is as full as it is.
struct Waits {
  Waits(const EngineTuning& tuning, const FlowBook& flows)
      : idle(flows.shortened(tuning.idle_timeout_ms)),
        doubt(flows.shortened(std::min(tuning.idle_timeout_ms, kDoubtMs))) {}
  std::uint32_t idle;
  std::uint32_t doubt;
};

// The same for a connection that a RST has closed.
constexpr std::uint32_t kResetProbeLeadMs = 5'000;

std::uint32_t reset_probe_lead(const EngineTuning& tuning) {
  return std::min(kResetProbeLeadMs, tuning.close_timeout_ms / 4);
}

std::uint32_t probe_lead(std::uint32_t wait_ms) { return std::min(kProbeLeadMs, wait_ms / 4); }

// A flow that was silent for longer is not sending.
constexpr std::uint32_t kTalkingMs = 2000;

// Each function below returns what it did, in frames sent and records freed (FlowBook::sweep).

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
unsigned probe(Rooms& rooms, FlowIndex i, const ProbeNumbers& n, FrameSink& sink) {
  const FlowRecord& f = rooms.flows[i];
  const FlowKey key = rooms.flows.key_of(i);
  probe_ends(rooms, f, key, n, false, sink);
  if ((f.options & kFlowTimestamps) == 0) return 2;
  probe_ends(rooms, f, key, n, true, sink);
  return 4;
}

// Data may be under way, and nothing may acknowledge what its receiver has not got.
ProbeNumbers acked_numbers(const FlowRecord& f) {
  return {f.acked_by_server(), f.acked_by_client()};
}

// An end that has lost much repeats at such intervals at most.
constexpr std::uint32_t kLongestRepeatMs = 600'000;

// `wait`: how long such a flow may be silent.
unsigned probe_silent(Rooms& rooms, FlowIndex i, std::uint32_t wait, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  // Both ends get their whole time to answer, even if the sweep is late.
  f.last_seen = rooms.now.ms32();
  // Without a repeat for so long all that was sent was acknowledged long ago.
  const bool settled = !f.has(kFlowRepeated) && wait > kLongestRepeatMs;
  return probe(rooms, i, settled ? ProbeNumbers{f.client_nxt, f.server_nxt} : acked_numbers(f),
               sink);
}

// An end that has forgotten the connection answers with a RST that has our ACK's number, which is
// exact (on_reset).
unsigned probe_after_reset(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  return probe(rooms, i, acked_numbers(rooms.flows[i]), sink);
}

unsigned expire_idle(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const FlowKey key = rooms.flows.key_of(i);
  rooms.frames.send_rst(f, key, Role::kClient, sink);
  rooms.frames.send_rst(f, key, Role::kServer, sink);
  rooms.services.count(key, Reason::conn_idle);
  // If our RST was not exact for an end, that end asks (RFC 5961 section 3.2) and gets an answer.
  rooms.flows.set_state(f, FlowState::kTombstone);
  f.last_seen = rooms.now.ms32();
  return 2;
}

// An end that answers a keepalive keeps its connection, whatever else speaks against it. A probe
// may be lost, so there are two of them, half a lead apart.
unsigned age_established(Rooms& rooms, FlowIndex i, std::uint32_t idle, const Waits& waits,
                         FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  if (f.doubted()) {
    f.clear_doubted();
    return probe_after_reset(rooms, i, sink);
  }
  const bool doubtful = is_doubtful(f);
  const bool probed = f.has(kFlowProbed);
  rooms.flows.suspect(i, (doubtful || probed) && idle >= kLatelyMs);
  const std::uint32_t wait = doubtful ? waits.doubt : waits.idle;
  const std::uint32_t lead = probe_lead(wait);
  // Once probed, a flow is idle since the probe.
  if (idle < (probed ? lead / 2 : wait - lead)) return 0;
  if (f.has(kFlowProbedAgain)) return expire_idle(rooms, i, sink);
  f.set(probed ? kFlowProbedAgain : kFlowProbed);
  return probe_silent(rooms, i, wait, sink);
}

// RFC 5382 REQ-5 gives a closing connection four minutes, and an established one more than two
// hours. An end may still repeat its last segment, and the repeat may back off for longer than
// `close_timeout_ms`. All other states that come here are over.
std::uint32_t life_after(const EngineTuning& tuning, const FlowRecord& f) {
  if (f.state() == FlowState::kPassed && f.watched()) return kHalfOpenMs;
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

// A RST may have been forged. An end that lives answers, and the connection comes back.
unsigned age_reset(Rooms& rooms, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  f.set(kFlowProbed);
  f.last_seen =
      rooms.now.ms32() - (life_after(rooms.now.tuning(), f) - reset_probe_lead(rooms.now.tuning()));
  return probe_after_reset(rooms, i, sink);
}

void watch_crawl(Rooms& rooms, FlowIndex i, const FlowRecord& f, std::uint32_t idle) {
  if (rooms.now.tuning().hide_rtt != HideRtt::kAuto || idle > kTalkingMs) return;
  if (!f.translated() || !rooms.crawl_watch.look(i, f, rooms.now.ms32())) return;
  if (rooms.answerer.services().note_crawl(KeyView(rooms.flows.key_of(i)))) {
    rooms.counters.count(Reason::service_crawls);
  }
}

// In line with the loop over the records: most of them need no more than a look.
unsigned age(Rooms& rooms, FlowIndex i, const Waits& waits, FrameSink& sink) {
  FlowRecord& f = rooms.flows[i];
  const std::uint32_t idle = rooms.now.ms32() - f.last_seen;
  const EngineTuning& tuning = rooms.now.tuning();
  switch (f.state()) {
    case FlowState::kFree:
      return 0;
    case FlowState::kSynSent:
      if (idle < patience(tuning, f)) return 0;
      give_up_waiting(rooms, i, sink);
      return 2;
    case FlowState::kEstablished:
      watch_crawl(rooms, i, f, idle);
      return age_established(rooms, i, idle, waits, sink);
    case FlowState::kClosing:
      if (!closed_by_both(f) && !f.has(kFlowProbed) &&
          idle >= life_after(tuning, f) - reset_probe_lead(tuning)) {
        return age_reset(rooms, i, sink);
      }
      [[fallthrough]];
    default:
      if (idle < life_after(tuning, f)) return 0;
      free_flow(rooms, i);
      return 1;
  }
}

}  // namespace

void age_flows(Rooms& rooms, FrameSink& sink) {
  const Waits waits(rooms.now.tuning(), rooms.flows);
  rooms.flows.sweep(rooms.now.ms(), [&](FlowIndex i) { return age(rooms, i, waits, sink); });
}

}  // namespace synproxy
