// SPDX-License-Identifier: BSD-3-Clause
// Handles all segments of clients except SYNs: picks the act by the state of the flow, and passes
// segments of spliced flows.
#include "ack/prove_ack.h"
#include "handshake/client_waits.h"
#include "handshake/open_flow.h"
#include "spliced/outbound.h"
#include "spliced/progress.h"
#include "spliced/unknown.h"
#include "syn/earlier_syn.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

// The windows of an adopted flow are presumed, up to 64 MB, so the numbers of the next connection
// fit them too once in a thousand times. Few clients are so far behind.
bool may_be_of_next(const FlowRecord& f, const Segment& g) {
  constexpr std::uint32_t kUnderWay = 1U << 22;
  const SeqNum sent(f.server_nxt);
  return f.adopted() && !g.ack.within(sent - kUnderWay, sent + kUnderWay);
}

void on_spliced(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  FlowRecord& f = rooms.flows[c.flow];
  if (g.has(kRst)) return on_reset(rooms, c, f, g.seq);
  const bool too_long = rooms.too_long.has(c.flow);
  if (too_long && cut_to_hold(c)) return;
  const bool fitting = fits<Role::kClient>(f, g, g.seq);
  const bool doubtful = !fitting || may_be_of_next(f, g);
  if (is_over(f) && (doubtful || f.has(kFlowMarked))) {
    // The client may have forgotten this connection and be opening the next one.
    if (const auto m = match_successor(rooms.now, rooms.answerer, f, c))
      return open_proven(rooms, c, *m, sink);
  }
  const bool of_next = doubtful && mark_by_quoted_syn(rooms, c, f);
  if (doubtful) {
    if (const auto m = match_marked(rooms.now, rooms.answerer, f, c))
      return open_proven(rooms, c, *m, sink);
  }
  if (fitting && !of_next) {
    if (g.has(kFin) && !checksum_ok(c)) return drop(rooms.counters, c, Reason::bad_checksum);
    follow_way(rooms, c, f);
    note<Role::kClient>(rooms, f, c, g.seq);
  } else if (fitting || is_over(f) || is_of_mark(f, g)) {
    // This is data of the next connection that has overtaken its handshake ACK. Translated by the
    // old numbers it would reach a server that knows neither connection, and the client's new
    // connection would accept the server's RST.
    return drop(rooms.counters, c, Reason::ack_unfit);
  } else if (const ServiceTuning& tuning = rooms.services.tuning(c.key()); tuning.strict_window)
      [[unlikely]] {
    if (!tuning.monitors(kMonitorStrictWindow)) {
      return drop(rooms.counters, c, Reason::out_of_window);
    }
    rooms.services.count(c.key(), Reason::strict_window_monitored);
  }
  if (too_long) [[unlikely]] {
    return pass_long_to_server(rooms, c, f, sink);
  }
  pass_to_server(rooms, c, f);
}

}  // namespace

void on_client_segment(Rooms& rooms, Context& c, FrameSink& sink) {
  const Segment& g = c.segment;
  if (g.has(kRst) && refuses_syn_ack(rooms, c)) return drop(rooms.counters, c, Reason::consumed);
  if (c.flow == kNoFlow) {
    if (g.has(kSyn)) return on_unknown_syn_ack(rooms, c);
    if (g.has(kRst)) return on_unknown_reset(rooms, c);
    return on_client_ack_without_flow(rooms, c, sink);
  }
  const FlowRecord& f = rooms.flows[c.flow];
  if (f.state() == FlowState::kPassed) {
    return f.watched() ? on_client_half_open(rooms, c, sink)
                       : on_answer_to_outbound(rooms, c, sink);
  }
  if (g.has(kSyn)) {
    if (f.opened_by_server()) return on_syn_ack_to_outbound(rooms, c);
    return drop(rooms.counters, c, Reason::syn_ack_client);
  }
  if (!g.has(kAck) && !g.has(kRst)) return drop(rooms.counters, c, Reason::no_ack_flag);
  if (f.state() == FlowState::kSynSent) return on_client_waits(rooms, c, sink);
  if (f.state() == FlowState::kTombstone) return on_client_tombstone(rooms, c, sink);
  on_spliced(rooms, c, sink);
}

}  // namespace synproxy
