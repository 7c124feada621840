// SPDX-License-Identifier: BSD-3-Clause
// How flows are made room for, given up, probed, expired and freed. No timer object per flow:
// handshakes wait in FIFOs, everything else is found by a sweep that passes the table about once a
// second.
#include <algorithm>
#include <array>

#include "burst/engine_state.h"
#include "spliced/progress.h"
#include "synproxy/proxy/translate.h"

namespace synproxy {
namespace {

// One call never takes longer than a few bursts do.
constexpr unsigned kMaxRetriesPerTick = 512;
constexpr std::uint32_t kMaxSweepSlice = 8192;
constexpr std::uint32_t kMaxEvictionScan = 4096;
// Above this many records a pass may take four seconds, to bound the share of memory bandwidth.
constexpr std::uint32_t kLargeTable = 1U << 20;
// The two ends of an idle connection have this long to answer the keepalive.
constexpr std::uint32_t kProbeLeadMs = 75'000;

bool counts_established(FlowState state) {
  return state == FlowState::kEstablished || state == FlowState::kPassed;
}

// Of the cookie that opened the flow, while it could still be replayed: it lives 1.5 epochs at
// most.
void remember_cookie(EngineState& s, const FlowKey& key, const FlowRecord& f) {
  if ((f.options & kFlowOutbound) != 0) return;
  const bool age_known = (f.progress & kFlowAgeKnown) != 0;
  if (age_known && s.now32() - f.mark_isn > s.shape.epoch_ms / 2 * 3) return;
  const unsigned parity = cookie_parity(f.cookie);
  const EpochKeys* keys = s.keys.for_parity(parity);
  if (keys == nullptr) return;
  const LayoutKey& k = (f.options & kFlowTimestamps) != 0 ? keys->timestamps : keys->plain;
  const MacInput in = cookie_mac_input(key, f.client_isn);
  const std::uint64_t mac = siphash24(k.k0, k.k1, in.words.data(), in.count);
  s.replay.insert(epoch_of(s.epoch, parity), cover_vlan(mac, k, key.vlan));
}

void free_early(EngineState& s, FlowRecord& f) {
  if (f.state != FlowState::kSynSent) return;
  s.early.free_all(f.delta);
  f.delta = EarlyStore::kNone;
}

// The order in which flows give way: what is over for certain, what a RST or both FINs have passed,
// and what has no server yet. 0: never.
unsigned eviction_rank(FlowState state) {
  switch (state) {
    case FlowState::kFinished:
    case FlowState::kTombstone:
      return 3;
    case FlowState::kClosing:
      return 2;
    case FlowState::kSynSent:
      return 1;
    default:
      return 0;
  }
}

std::uint32_t probe_lead(const EngineState& s) {
  return std::min(kProbeLeadMs, s.tuning.idle_timeout_ms / 4);
}

// RFC 9293 section 3.8.4: the byte before the next one, which the receiver has acknowledged long
// ago.
void probe_ends(EngineState& s, const FlowRecord& f, const FlowKey& key, bool timestamps,
                FrameSink& sink) {
  TcpReply r;
  r.flags = kAck;
  r.window = 0xffff;  // never looked at: the segment is not acceptable
  r.timestamps = timestamps;
  r.seq = SeqNum(f.client_nxt) - 1;
  r.ack = SeqNum(f.server_nxt + f.delta);
  r.tsval = f.opening_tsval;
  send_to(s, f, key, Role::kServer, r, sink);
  r.seq = SeqNum(f.server_nxt) - 1;
  r.ack = SeqNum(f.client_nxt);
  send_to(s, f, key, Role::kClient, r, sink);
  s.counters.count(Reason::keepalive_probe, 2);
}

// Nobody knows a TSval here that is new enough. RFC 7323 has an old one answered (section 5.3, R1)
// and a segment without any dropped (section 3.2); Linux 6.18 does the opposite of both. So
// each end gets one of each.
void probe(EngineState& s, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = s.table[i];
  const FlowKey key = s.table.key_of(i);
  f.progress |= kFlowProbed;
  probe_ends(s, f, key, false, sink);
  if ((f.options & kFlowTimestamps) != 0) probe_ends(s, f, key, true, sink);
}

void expire_idle(EngineState& s, FlowIndex i, FrameSink& sink) {
  send_rst(s, i, Role::kClient, sink);
  send_rst(s, i, Role::kServer, sink);
  s.counters.count(Reason::conn_idle);
  // An end for which our RST was not exact asks (RFC 5961 section 3.2), and is answered.
  set_state(s, s.table[i], FlowState::kTombstone);
  s.table[i].last_seen = s.now32();
}

// RFC 5382 REQ-5 gives a connection that is closing four minutes where an established one has more
// than two hours: what one end still has to say may be a repeat that backs off for longer than
// `close_timeout_ms`. All others here are over.
std::uint32_t life_after(const EngineState& s, const FlowRecord& f) {
  const bool closing = f.state == FlowState::kClosing && closed_by_both(f);
  return s.tuning.close_timeout_ms * (closing ? 4 : 1);
}

void age(EngineState& s, FlowIndex i, FrameSink& sink) {
  FlowRecord& f = s.table[i];
  const std::uint32_t idle = s.now32() - f.last_seen;
  switch (f.state) {
    case FlowState::kFree:
      return;
    case FlowState::kSynSent:
      if (idle < s.tuning.server_timeout_ms) return;
      s.counters.count(Reason::conn_timed_out);
      return give_up(s, i, true, true, sink);
    case FlowState::kEstablished: {
      const std::uint32_t probe_at = s.tuning.idle_timeout_ms - probe_lead(s);
      if (idle < probe_at) return;
      if ((f.progress & kFlowProbed) == 0) {
        probe(s, i, sink);
        f.last_seen = s.now32() - probe_at;  // both ends get the whole lead, however late we are
      } else if (idle >= s.tuning.idle_timeout_ms &&
                 s.earlier.same_idle_for(probe_lead(s), s.now_ms)) {
        expire_idle(s, i, sink);
      }
      return;
    }
    default:
      if (idle >= life_after(s, f)) free_flow(s, i);
  }
}

void emit_reply(const LinkHeader& link, const FlowKey& key, Role to, const TcpReply& reply,
                FrameSink& sink) {
  std::array<std::uint8_t, kMaxReplyFrame> frame;
  if (link.length == 0) return;
  link.write(frame.data(), to);
  const std::size_t size = write_tcp_packet(frame.data() + link.length, ends_of(key, to), reply);
  sink.emit(to, {frame.data(), link.length + size});
}

// No flow came of that SYN, or the one that is there is of an older SYN and waits for this one's
// ACK.
bool unanswered(const EngineState& s, const SynAckRepeats::Entry& e) {
  const FlowIndex i = s.table.find(e.key, index_hash(s.index_key, e.key));
  if (i == kNoFlow) return true;
  const FlowRecord& f = s.table[i];
  const std::uint32_t isn = (e.syn_ack.ack - 1).value();
  return (f.progress & kFlowMarked) != 0 && f.mark_isn == isn && f.client_isn != isn;
}

// Where one had to go, more will: what is looked at next is fetched, and the bucket of the one that
// is looked at first.
void fetch_candidates(const EngineState& s, FlowIndex end) {
  constexpr FlowIndex kAhead = 8;
  if (s.evict_at + kAhead >= end) return;
  s.table.prefetch_at(s.evict_at + kAhead);
  if (s.table[s.evict_at].state == FlowState::kFree) return;
  s.table.prefetch_bucket(index_hash(s.index_key, s.table.key_of(s.evict_at)));
}

}  // namespace

void set_state(EngineState& s, FlowRecord& f, FlowState state) {
  s.embryonic -= f.state == FlowState::kSynSent ? 1U : 0U;
  s.established -= counts_established(f.state) ? 1U : 0U;
  f.state = state;
  s.embryonic += state == FlowState::kSynSent ? 1U : 0U;
  s.established += counts_established(state) ? 1U : 0U;
}

bool make_room(EngineState& s, FrameSink& sink) {
  if (s.table.size() < s.table.capacity()) return true;
  if (s.established == s.table.size()) return false;
  const FlowIndex end = s.table.high_water();
  FlowIndex victim = kNoFlow;
  unsigned best = 0;
  for (std::uint32_t n = std::min(kMaxEvictionScan, end); n > 0 && best < 3; --n) {
    if (s.evict_at >= end) s.evict_at = 0;
    const FlowIndex i = s.evict_at++;
    const unsigned rank = eviction_rank(s.table[i].state);
    if (rank > best) {
      victim = i;
      best = rank;
    }
  }
  if (victim == kNoFlow) return false;
  if (s.table[victim].state == FlowState::kSynSent) {
    send_rst(s, victim, Role::kClient, sink);
    send_rst(s, victim, Role::kServer, sink);
  }
  s.counters.count(Reason::flow_evicted);
  free_flow(s, victim);
  fetch_candidates(s, end);
  return true;
}

void free_flow(EngineState& s, FlowIndex i) {
  FlowRecord& f = s.table[i];
  const FlowKey key = s.table.key_of(i);
  free_early(s, f);
  remember_cookie(s, key, f);
  set_state(s, f, FlowState::kFree);
  const std::uint64_t hash = index_hash(s.index_key, key);
  s.table.erase(i, hash);
  s.changes.note(hash);
  s.counters.count(Reason::flow_freed);
}

void give_up(EngineState& s, FlowIndex i, bool tell_client, bool tell_server, FrameSink& sink) {
  FlowRecord& f = s.table[i];
  free_early(s, f);
  if (tell_client) send_rst(s, i, Role::kClient, sink);
  if (tell_server) send_rst(s, i, Role::kServer, sink);
  set_state(s, f, FlowState::kTombstone);
  f.last_seen = s.now32();
}

void send_rst(EngineState& s, FlowIndex i, Role to, FrameSink& sink) {
  const FlowRecord& f = s.table[i];
  TcpReply r;
  if (to == Role::kClient) {
    r.seq = SeqNum(f.server_nxt);
    r.ack = SeqNum(f.client_nxt);
    r.flags = kRst | kAck;
    s.counters.count(Reason::rst_to_client);
  } else if (f.state == FlowState::kSynSent) {
    r.seq = SeqNum(f.client_isn + 1);
    r.flags = kRst;
    s.counters.count(Reason::rst_to_server);
  } else {
    r.seq = SeqNum(f.client_nxt);
    r.ack = SeqNum(f.server_nxt + f.delta);
    r.flags = kRst | kAck;
    s.counters.count(Reason::rst_to_server);
  }
  send_to(s, f, s.table.key_of(i), to, r, sink);
}

void send_to(EngineState& s, const FlowRecord& f, const FlowKey& key, Role to,
             const TcpReply& reply, FrameSink& sink) {
  emit_reply(s.links[f.link], key, to, reply, sink);
}

void run_timers(EngineState& s, FrameSink& sink) {
  RetryQueue::Entry e{};
  const auto still = [&](FlowState state) {
    const FlowRecord& f = s.table[e.flow];
    return f.state == state && f.cookie == e.cookie;
  };
  for (std::size_t level = 0; level < kRetryLevels; ++level) {
    for (unsigned n = 0; n < kMaxRetriesPerTick && s.syn_retries[level].pop_due(s.now32(), e);
         ++n) {
      if (!still(FlowState::kSynSent)) continue;
      send_syn(s, e.flow, false, sink);
      s.counters.count(Reason::syn_to_server_retrans);
      const std::size_t next = std::min(level + 1, kRetryLevels - 1);
      e.deadline_ms = s.now32() + (kFirstRetryMs << next);
      s.syn_retries[next].push(e);
    }
  }
  s.synack_repeats.run(s.now32(), kMaxRetriesPerTick, [&](const SynAckRepeats::Entry& waiting) {
    if (!unanswered(s, waiting)) return false;
    emit_reply(waiting.link, waiting.key, Role::kClient, waiting.syn_ack, sink);
    s.counters.count(Reason::synack_repeated);
    return true;
  });
  for (unsigned n = 0; n < kMaxRetriesPerTick && s.ack_repeats.pop_due(s.now32(), e); ++n) {
    if (still(FlowState::kEstablished) && (s.table[e.flow].progress & kFlowSpoke) == 0) {
      send_ack(s, e.flow, e.tsecr, sink);
    }
  }
}

void sweep(EngineState& s, FrameSink& sink) {
  const FlowIndex end = s.table.high_water();
  const std::uint64_t elapsed = s.now_ms - s.swept_ms;
  if (elapsed == 0) return;
  s.swept_ms = s.now_ms;
  const std::uint64_t pass_ms = end > kLargeTable ? 4000 : 1000;
  const std::uint64_t share = end * std::min<std::uint64_t>(elapsed, pass_ms) / pass_ms + 1;
  const auto slice =
      static_cast<std::uint32_t>(std::min<std::uint64_t>({share, kMaxSweepSlice, end}));
  for (std::uint32_t n = 0; n < slice; ++n) {
    if (s.sweep_at >= end) s.sweep_at = 0;
    age(s, s.sweep_at++, sink);
  }
}

void widen_windows(FlowRecord& f, std::uint32_t client_window, std::uint32_t server_window) {
  while (client_window > client_window_bound(f) && (f.windows & 15U) < 15U) {
    f.windows = static_cast<std::uint8_t>(f.windows + 1);
  }
  while (server_window > server_window_bound(f) && (f.windows >> 4) < 15U) {
    f.windows = static_cast<std::uint8_t>(f.windows + 16);
  }
}

}  // namespace synproxy
