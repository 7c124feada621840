// SPDX-License-Identifier: BSD-3-Clause
// Translates the header that an ICMP error quotes, as the connection's own segments are translated.
#include <cstring>

#include "burst/quoted_flow.h"
#include "flows/end_flow.h"
#include "spliced/progress.h"
#include "syn/ask_first.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/proxy/spliced_numbers.h"
#include "synproxy/wire/checksum.h"

namespace synproxy {
namespace {

// Writes a number of the quoted TCP header as `receiver` counts it. Corrects the TCP checksum if
// that is quoted too, and notes both changes for the ICMP checksum.
void shift(Role receiver, std::uint8_t* tcp, std::size_t at, std::uint32_t delta,
           std::size_t quoted, ChecksumUpdate& icmp) {
  if (at + 4 > quoted) return;
  const auto before = load_raw<std::uint32_t>(tcp + at);
  const std::uint32_t number = be32::from_raw(before).host();
  const std::uint32_t after = be32(receiver == Role::kServer ? number_to_server(number, delta)
                                                             : number_to_client(number, delta))
                                  .raw();
  std::memcpy(tcp + at, &after, sizeof after);
  const bool odd = (at & 1) != 0;
  icmp.replace32(before, after, odd);
  if (quoted >= tcp_at::kChecksum + 2) {
    ChecksumUpdate inner;
    inner.replace32(before, after, odd);
    const auto sum_before = load_raw<std::uint16_t>(tcp + tcp_at::kChecksum);
    inner.apply(tcp + tcp_at::kChecksum);
    icmp.replace16(sum_before, load_raw<std::uint16_t>(tcp + tcp_at::kChecksum));
  }
}

// Offset of TSval in the quoted header, or 0 where the options are not quoted whole.
std::size_t timestamps_at(const std::uint8_t* tcp, std::size_t quoted) {
  if (quoted < kTcpHeader) return 0;
  const std::size_t header = tcp_header_size(load_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags));
  if (header <= kTcpHeader || header > quoted) return 0;
  std::size_t found = 0;
  walk_options(tcp + kTcpHeader, header - kTcpHeader,
               [&](std::uint8_t kind, std::size_t at, std::size_t length) {
                 if (kind == kOptionTimestamps && length == 10) found = kTcpHeader + at + 2;
                 return found == 0;
               });
  return found;
}

void translate_quoted(const Context& c, const QuotedSegment& q, const FlowRecord& f, Role sender) {
  const SplicedPart& numbers = f.spliced();
  std::uint8_t* tcp = c.segment.frame + q.tcp_offset;
  ChecksumUpdate update;
  const std::size_t tsval = timestamps_at(tcp, q.tcp_bytes);
  if (sender == Role::kClient) {  // quotes a server's segment, in the client's numbers
    shift(Role::kServer, tcp, tcp_at::kSeq, numbers.delta, q.tcp_bytes, update);
    if (tsval != 0) shift(Role::kServer, tcp, tsval, numbers.ts_delta, q.tcp_bytes, update);
  } else {
    shift(Role::kClient, tcp, tcp_at::kAck, numbers.delta, q.tcp_bytes, update);
    if (tsval != 0 && tsecr_echoes(load_raw<std::uint32_t>(tcp + tsval + 4))) {
      shift(Role::kClient, tcp, tsval + 4, numbers.ts_delta, q.tcp_bytes, update);
    }
  }
  update.apply(c.segment.l4() + icmp_at::kChecksum);
}

// RFC 5927 section 4.1: the quoted number must be of data that is under way.
bool outstanding(const FlowRecord& f, SeqNum seq, Role sender) {
  if (sender == Role::kClient) {
    return seq.within(SeqNum(f.server_nxt) - client_window_bound(f), SeqNum(f.server_nxt));
  }
  return seq.within(SeqNum(f.client_nxt) - server_window_bound(f), SeqNum(f.client_nxt));
}

// The error answers our SYN. RFC 1122 section 4.2.3.9: a hard one ends the connection, a soft one
// must not. But RFC 5461 section 4: a connection that is being opened need not wait its whole time
// for a server that cannot be reached (ageing.cc).
void on_unreachable(Rooms& rooms, Context& c, const QuotedSegment& q, FrameSink& sink) {
  const FlowKey key = rooms.flows.key_of(c.flow);
  if (q.soft) {
    rooms.flows[c.flow].set(kFlowSoftError);
    note_dead(rooms, key);
  }
  if (!q.refusal) return;
  rooms.services.count(key, Reason::conn_refused);
  note_dead(rooms, key);
  give_up(rooms, c.flow, true, false, sink);
}

// The error answers a SYN-ACK of ours: nobody is there, so it is not repeated. A server of Linux
// lets go of its half-open connection at the same errors.
bool ends_repeats(Rooms& rooms, const Context& c, const QuotedFlow& quoted) {
  const QuotedSegment& q = quoted.segment;
  if (c.sender != Role::kClient || !(q.soft || q.refusal)) return false;
  SynAckRepeats::Entry* e = rooms.answerer.repeats().find_sent(quoted.key, c.hash, q.seq);
  if (e == nullptr || !icmp_checksum_good(c.segment)) return false;
  e->refused = true;
  return true;
}

// A SYN that passed has no flow, and the path to the server may refuse it.
void on_error_without_flow(Rooms& rooms, Context& c, const QuotedFlow& quoted) {
  if (ends_repeats(rooms, c, quoted)) return drop(rooms.counters, c, Reason::consumed);
  if (rooms.services.mode_of(quoted.key) == Mode::kOff) {
    return forward(rooms.counters, c, Reason::unknown_forwarded);
  }
  if (c.sender == Role::kServer && rooms.watch.expects_answers(rooms.now.ms32())) {
    return forward(rooms.counters, c, Reason::watched);
  }
  drop(rooms.counters, c, Reason::icmp_invalid);
}

}  // namespace

void on_icmp(Rooms& rooms, Context& c, FrameSink& sink) {
  const Role sender = c.sender;
  const Segment& g = c.segment;
  const QuotedFlow& quoted = rooms.quoted_by(c);
  const QuotedSegment& q = quoted.segment;
  c.flow = rooms.flows.find(quoted.key, c.hash);
  catch_up(rooms, c.flow);
  const bool over = c.flow == kNoFlow || rooms.flows[c.flow].state() == FlowState::kTombstone;
  if (over && sender == Role::kServer && icmp_checksum_good(g) &&
      error_answers_asked(rooms, quoted.key, c.hash, q.seq, q.refusal)) {
    return forward(rooms.counters, c, Reason::asked);  // the SYN went to the server as it came
  }
  if (c.flow == kNoFlow) return on_error_without_flow(rooms, c, quoted);
  FlowRecord& f = rooms.flows[c.flow];
  if (f.state() == FlowState::kSynSent) {
    // The error is about our own SYN or about a SYN-ACK. It is not passed on.
    const bool ours = sender == Role::kServer && q.seq == SeqNum(f.client_isn);
    if (!ours || !icmp_checksum_good(g)) return drop(rooms.counters, c, Reason::icmp_invalid);
    drop(rooms.counters, c, Reason::consumed);
    return on_unreachable(rooms, c, q, sink);
  }
  if (f.state() == FlowState::kTombstone) return drop(rooms.counters, c, Reason::icmp_invalid);
  if (f.opened_by_server()) return forward(rooms.counters, c, Reason::passed);
  if (f.state() == FlowState::kPassed) return forward(rooms.counters, c, Reason::watched);
  if (!outstanding(f, q.seq, sender)) return drop(rooms.counters, c, Reason::icmp_invalid);
  if (f.watched()) return forward(rooms.counters, c, Reason::watched);
  translate_quoted(c, q, f, sender);
  forward(rooms.counters, c, Reason::icmp_translated);
}

}  // namespace synproxy
